// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";

/// @title The digests of spec §3 and §5
/// @notice Every digest is over decoded values that are encoded again, never over raw calldata: however a call spells a
/// record (other offsets, trailing bytes), the same record has the same id, and a value too wide for its type reverts.
library Records {
    /// @dev Longest path in a tree: 2^32 leaves.
    uint256 internal constant MAX_PATH = 32;

    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant NAME = keccak256("ProofOfExecution");
    bytes32 internal constant VERSION = keccak256("1");

    bytes32 internal constant REQUEST_TYPE = keccak256(
        "Request(address owner,bytes32 processors,uint96 price,bytes32 image,bytes32[] inputs,bytes32 terms,bytes32 metadata,"
        "bytes32 policy,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,uint64 matchBy,"
        "uint32 approveWithin,uint32 proveWithin,bytes32 salt,address delegate,CoOwner[] coOwners)"
        "CoOwner(address account,uint32 inputs)"
    );
    bytes32 internal constant CO_OWNER_TYPE = keccak256("CoOwner(address account,uint32 inputs)");
    bytes32 internal constant OFFER_TYPE = keccak256(
        "Offer(address processor,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,"
        "uint96 pricePerSecond,uint96 bond,uint64 validUntil,bytes32 salt)"
    );
    /// @dev What EIP-712 hashes an empty array to.
    bytes32 internal constant NONE = keccak256("");
    bytes32 internal constant RELEASE_TYPE = keccak256("Release(bytes32 task,address enclave,bytes32 secretHash)");
    bytes32 internal constant REFUSAL_TYPE = keccak256("Refusal(bytes32 task,address enclave,uint8 reason)");
    bytes32 internal constant CANCELLATION_TYPE = keccak256("Cancellation(bytes32 task)");
    bytes32 internal constant RECEIPT_TYPE = keccak256(
        "Receipt(bytes32 task,address enclave,uint8 outcome,uint32 exitCode,bytes32 results,bytes32 report,"
        "uint64 cpuMicros,uint64 wallMicros,uint64 memoryPeak)"
    );
    bytes32 internal constant ARCHIVED_RECEIPT_TYPE = keccak256("ArchivedReceipt(bytes32 receipt,bytes32 archive)");
    bytes32 internal constant ARCHIVED_BATCH_TYPE =
        keccak256("ArchivedBatch(bytes32 receipt,bytes32 archive,bytes32 members,uint16 count)");

    /// @notice The EIP-712 domain separator of the contract `verifier` on the chain `chainId`.
    function domain(uint256 chainId, address verifier) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME, VERSION, chainId, verifier));
    }

    /// @notice The task id (spec §3.1).
    function requestId(bytes32 separator, IProofOfExecution.Request memory record) internal pure returns (bytes32) {
        return _typed(
            separator,
            keccak256(
                abi.encode(
                    REQUEST_TYPE,
                    record.owner,
                    record.processors,
                    record.price,
                    record.image,
                    keccak256(abi.encodePacked(record.inputs)),
                    record.terms,
                    record.metadata,
                    record.policy,
                    record.kinds,
                    record.cpuMillis,
                    record.memoryMib,
                    record.diskMib,
                    record.timeLimit,
                    record.matchBy,
                    record.approveWithin,
                    record.proveWithin,
                    record.salt,
                    record.delegate,
                    _hashOf(record.coOwners)
                )
            )
        );
    }

    /// @notice The offer id (spec §3.2).
    function offerId(bytes32 separator, IProofOfExecution.Offer memory record) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(OFFER_TYPE, record)));
    }

    /// @notice What a party signs to release a secret (spec §3.3). Contract and enclave both check it.
    function releaseId(bytes32 separator, bytes32 task, address enclave, bytes32 secretHash) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(RELEASE_TYPE, task, enclave, secretHash)));
    }

    /// @notice What a party signs to refuse an enclave (spec §3.3).
    function refusalId(bytes32 separator, bytes32 task, address enclave, uint8 reason) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(REFUSAL_TYPE, task, enclave, reason)));
    }

    /// @notice What an owner signs to take a request back (spec §3.3).
    function cancellationId(bytes32 separator, bytes32 task) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(CANCELLATION_TYPE, task)));
    }

    /// @notice The digest of a receipt (spec §3.3).
    function receiptId(bytes32 separator, IProofOfExecution.Receipt memory record) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(RECEIPT_TYPE, record)));
    }

    /// @notice What the enclave signs (spec §3.3).
    function archivedReceiptId(bytes32 separator, bytes32 receipt, bytes32 archive) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(ARCHIVED_RECEIPT_TYPE, receipt, archive)));
    }

    /// @notice What the enclave of a batch signs (spec §3.3).
    function archivedBatchId(bytes32 separator, bytes32 receipt, bytes32 archive, bytes32 members, uint16 count)
        internal
        pure
        returns (bytes32)
    {
        return _typed(separator, keccak256(abi.encode(ARCHIVED_BATCH_TYPE, receipt, archive, members, count)));
    }

    /// @notice Whether `path` leads from the account's leaf to the root of a list (spec §3.4).
    function isListed(bytes32 root, address account, bytes32[] memory path) internal pure returns (bool) {
        if (path.length > MAX_PATH) return false;
        bytes32 node = keccak256(abi.encodePacked(bytes1(0x00), account));
        for (uint256 i = 0; i < path.length; ++i) {
            (bytes32 low, bytes32 high) = node < path[i] ? (node, path[i]) : (path[i], node);
            node = keccak256(abi.encodePacked(bytes1(0x01), low, high));
        }
        return node == root;
    }

    /// @notice The payload of a match in the history (spec §5.1).
    function matchPayload(bytes32 offer, address processor, address enclave, bytes32 evidenceHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(offer, processor, enclave, evidenceHash));
    }

    /// @notice The payload of an approval in the history (spec §5.1).
    function approvePayload(address enclave, bytes32 secretHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(enclave, secretHash));
    }

    /// @notice The payload of one party's release in the history (spec §5.1).
    function releasePayload(address account, address enclave, bytes32 secretHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(account, enclave, secretHash));
    }

    /// @notice The payload of a rejection in the history (spec §5.1): who, and why.
    function rejectPayload(address account, uint8 reason) internal pure returns (bytes32) {
        return bytes32((uint256(uint160(account)) << 8) | reason);
    }

    /// @notice The running commitment after one more step (spec §5.2).
    function extend(bytes32 history, uint256 step, bytes32 payload, uint256 number, uint256 time)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(history, step, payload, number, time));
    }

    /// @dev An array of structs is hashed as the structs' hashes one after the other.
    function _hashOf(IProofOfExecution.CoOwner[] memory coOwners) private pure returns (bytes32) {
        if (coOwners.length == 0) return NONE;
        bytes32[] memory hashes = new bytes32[](coOwners.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = keccak256(abi.encode(CO_OWNER_TYPE, coOwners[i].account, coOwners[i].inputs));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _typed(bytes32 separator, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }
}
