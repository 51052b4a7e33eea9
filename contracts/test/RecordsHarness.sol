// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "../src/IProofOfExecution.sol";
import {Records} from "../src/Records.sol";
import {IRecords} from "./IRecords.sol";

/// @notice The contract's own digests, callable.
contract RecordsHarness is IRecords {
    function domain(uint256 chainId, address verifier) external pure returns (bytes32) {
        return Records.domain(chainId, verifier);
    }

    function requestId(bytes32 separator, IProofOfExecution.Request memory record) external pure returns (bytes32) {
        return Records.requestId(separator, record);
    }

    function offerId(bytes32 separator, IProofOfExecution.Offer memory record) external pure returns (bytes32) {
        return Records.offerId(separator, record);
    }

    function releaseId(bytes32 separator, bytes32 task, address enclave, bytes32 secretHash) external pure returns (bytes32) {
        return Records.releaseId(separator, task, enclave, secretHash);
    }

    function refusalId(bytes32 separator, bytes32 task, address enclave, uint8 reason) external pure returns (bytes32) {
        return Records.refusalId(separator, task, enclave, reason);
    }

    function cancellationId(bytes32 separator, bytes32 task) external pure returns (bytes32) {
        return Records.cancellationId(separator, task);
    }

    function archivedBatchId(bytes32 separator, bytes32 receipt, bytes32 archive, bytes32 members, uint16 count)
        external
        pure
        returns (bytes32)
    {
        return Records.archivedBatchId(separator, receipt, archive, members, count);
    }

    function isListed(bytes32 root, address account, bytes32[] memory path) external pure returns (bool) {
        return Records.isListed(root, account, path);
    }

    function releasePayload(address account, address enclave, bytes32 secretHash) external pure returns (bytes32) {
        return Records.releasePayload(account, enclave, secretHash);
    }

    function rejectPayload(address account, uint8 reason) external pure returns (bytes32) {
        return Records.rejectPayload(account, reason);
    }

    function receiptId(bytes32 separator, IProofOfExecution.Receipt memory record) external pure returns (bytes32) {
        return Records.receiptId(separator, record);
    }

    function archivedReceiptId(bytes32 separator, bytes32 receipt, bytes32 archive) external pure returns (bytes32) {
        return Records.archivedReceiptId(separator, receipt, archive);
    }

    function matchPayload(bytes32 offer, address processor, address enclave, bytes32 evidenceHash)
        external
        pure
        returns (bytes32)
    {
        return Records.matchPayload(offer, processor, enclave, evidenceHash);
    }

    function approvePayload(address enclave, bytes32 secretHash) external pure returns (bytes32) {
        return Records.approvePayload(enclave, secretHash);
    }

    function extend(bytes32 history, uint256 step, bytes32 payload, uint256 number, uint256 time)
        external
        pure
        returns (bytes32)
    {
        return Records.extend(history, step, payload, number, time);
    }
}
