// hardhat's node at bloxberg's level, with bloxberg's chain id and the accounts that development nodes fund.
module.exports = {
  solidity: "0.8.28", // nothing is compiled here
  networks: { hardhat: { chainId: 8995, hardfork: "istanbul", gasPrice: 2000000000 } },
};
