// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Accounts that are contracts, and say themselves which signatures are theirs (ERC-1271)
interface IERC1271 {
    /// @return magic this function's selector if the signature is the account's
    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4 magic);
}
