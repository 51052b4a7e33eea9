// Where the contract is deployed, and how: the recipe of abi/deployment.json.
//
// CREATE2 through the deployment proxy that stands at one address on most chains, since nobody has the key of the account that
// made it: its one transaction was signed by choosing the signature. It names no chain, so it is valid on each. The contract
// has no constructor arguments and no owner, so it does not matter who sends the second transaction.
import { Transaction, getCreate2Address, getCreateAddress, keccak256 } from 'ethers';

const TRANSACTION =
  '0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba022222222222222222222222222222222222222' +
  '22222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222';
// The code that the transaction creates stands at its end, behind 14 bytes that return it.
const CREATION_BYTES = 14;
const SALT = `0x${'00'.repeat(32)}`;

export function deployment(bytecode) {
  const made = Transaction.from(TRANSACTION);
  const proxy = getCreateAddress({ from: made.from, nonce: made.nonce });
  return {
    proxy: {
      address: proxy,
      code: `0x${made.data.slice(2 + 2 * CREATION_BYTES)}`,
      signer: made.from,
      cost: (made.gasLimit * made.gasPrice).toString(),
      transaction: TRANSACTION,
    },
    salt: SALT,
    initCodeHash: keccak256(bytecode),
    contract: getCreate2Address(proxy, SALT, keccak256(bytecode)),
  };
}
