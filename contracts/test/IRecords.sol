// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "../src/IProofOfExecution.sol";

/// @notice What `RecordsHarness` answers. Apart from it, so that the tests need not be compiled as the contract is.
interface IRecords {
    function domain(uint256 chainId, address verifier) external pure returns (bytes32);

    function requestId(bytes32 separator, IProofOfExecution.Request calldata record) external pure returns (bytes32);

    function offerId(bytes32 separator, IProofOfExecution.Offer calldata record) external pure returns (bytes32);

    function releaseId(bytes32 separator, bytes32 task, address enclave, bytes32 secretHash) external pure returns (bytes32);

    function refusalId(bytes32 separator, bytes32 task, address enclave, uint8 reason) external pure returns (bytes32);

    function cancellationId(bytes32 separator, bytes32 task) external pure returns (bytes32);

    function archivedBatchId(bytes32 separator, bytes32 receipt, bytes32 archive, bytes32 members, uint16 count)
        external
        pure
        returns (bytes32);

    function isListed(bytes32 root, address account, bytes32[] calldata path) external pure returns (bool);

    function releasePayload(address account, address enclave, bytes32 secretHash) external pure returns (bytes32);

    function rejectPayload(address account, uint8 reason) external pure returns (bytes32);

    function receiptId(bytes32 separator, IProofOfExecution.Receipt calldata record) external pure returns (bytes32);

    function archivedReceiptId(bytes32 separator, bytes32 receipt, bytes32 archive) external pure returns (bytes32);

    function matchPayload(bytes32 offer, address processor, address enclave, bytes32 evidenceHash)
        external
        pure
        returns (bytes32);

    function approvePayload(address enclave, bytes32 secretHash) external pure returns (bytes32);

    function extend(bytes32 history, uint256 step, bytes32 payload, uint256 number, uint256 time)
        external
        pure
        returns (bytes32);
}
