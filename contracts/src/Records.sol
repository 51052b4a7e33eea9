// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";

/// @title The digests of spec §3 and §5
/// @notice Every digest is over decoded values that are encoded again, never over raw calldata: however a call spells a
/// record (other offsets, trailing bytes), the same record has the same id, and a value too wide for its type reverts.
library Records {
    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant NAME = keccak256("ProofOfExecution");
    bytes32 internal constant VERSION = keccak256("1");

    bytes32 internal constant REQUEST_TYPE = keccak256(
        "Request(address owner,address processor,uint96 price,bytes32 image,bytes32[] inputs,bytes32 terms,bytes32 metadata,"
        "bytes32 policy,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,uint64 matchBy,"
        "uint32 approveWithin,uint32 proveWithin,bytes32 salt)"
    );
    bytes32 internal constant OFFER_TYPE = keccak256(
        "Offer(address processor,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,"
        "uint96 pricePerSecond,uint96 bond,uint64 validUntil,bytes32 salt)"
    );
    bytes32 internal constant RELEASE_TYPE = keccak256("Release(bytes32 task,address enclave,bytes32 secretHash)");
    bytes32 internal constant RECEIPT_TYPE = keccak256(
        "Receipt(bytes32 task,address enclave,uint8 outcome,uint32 exitCode,bytes32 results,bytes32 report,"
        "uint64 cpuMicros,uint64 wallMicros,uint64 memoryPeak)"
    );
    bytes32 internal constant ARCHIVED_RECEIPT_TYPE = keccak256("ArchivedReceipt(bytes32 receipt,bytes32 archive)");

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
                    record.processor,
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
                    record.salt
                )
            )
        );
    }

    /// @notice The offer id (spec §3.2).
    function offerId(bytes32 separator, IProofOfExecution.Offer memory record) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(OFFER_TYPE, record)));
    }

    /// @notice What the owner signs to release a secret (spec §3.3). Contract and enclave both check it.
    function releaseId(bytes32 separator, bytes32 task, address enclave, bytes32 secretHash) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(RELEASE_TYPE, task, enclave, secretHash)));
    }

    /// @notice The digest of a receipt (spec §3.3).
    function receiptId(bytes32 separator, IProofOfExecution.Receipt memory record) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(RECEIPT_TYPE, record)));
    }

    /// @notice What the enclave signs (spec §3.3).
    function archivedReceiptId(bytes32 separator, bytes32 receipt, bytes32 archive) internal pure returns (bytes32) {
        return _typed(separator, keccak256(abi.encode(ARCHIVED_RECEIPT_TYPE, receipt, archive)));
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

    /// @notice The running commitment after one more step (spec §5.2).
    function extend(bytes32 history, uint256 step, bytes32 payload, uint256 number, uint256 time)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(history, step, payload, number, time));
    }

    function _typed(bytes32 separator, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }
}
