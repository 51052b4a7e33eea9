//! The contract's records, calls, events and errors as ABI types.
//!
//! These mirror `contracts/src/IProofOfExecution.sol` word for word; a test compares them with the committed ABI. They hold
//! unchecked wire values: everything else in this crate works on the parsed types of [`crate::record`].
#![allow(missing_docs, reason = "the documentation is the Solidity interface's")]

use alloy_sol_types::sol;

sol! {
    #[derive(Debug, PartialEq, Eq)]
    struct CoOwner {
        address account;
        uint32 inputs;
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Request {
        address owner;
        bytes32 processors;
        uint96 price;
        bytes32 image;
        bytes32[] inputs;
        bytes32 terms;
        bytes32 metadata;
        bytes32 policy;
        uint16 kinds;
        uint32 cpuMillis;
        uint32 memoryMib;
        uint32 diskMib;
        uint32 timeLimit;
        uint64 matchBy;
        uint32 approveWithin;
        uint32 proveWithin;
        bytes32 salt;
        address delegate;
        CoOwner[] coOwners;
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Offer {
        address processor;
        uint16 kinds;
        uint32 cpuMillis;
        uint32 memoryMib;
        uint32 diskMib;
        uint32 timeLimit;
        uint96 pricePerSecond;
        uint96 bond;
        uint64 validUntil;
        bytes32 salt;
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Receipt {
        bytes32 task;
        address enclave;
        uint8 outcome;
        uint32 exitCode;
        bytes32 results;
        bytes32 report;
        uint64 cpuMicros;
        uint64 wallMicros;
        uint64 memoryPeak;
    }

    /// What the enclave signs: the receipt and the archive of its evidence.
    #[derive(Debug, PartialEq, Eq)]
    struct ArchivedReceipt {
        bytes32 receipt;
        bytes32 archive;
    }

    /// What the enclave of a batch signs: the closing receipt, the archive, and the root over its members' receipts.
    #[derive(Debug, PartialEq, Eq)]
    struct ArchivedBatch {
        bytes32 receipt;
        bytes32 archive;
        bytes32 members;
        uint16 count;
    }

    /// What a party signs to refuse an enclave.
    #[derive(Debug, PartialEq, Eq)]
    struct Refusal {
        bytes32 task;
        address enclave;
        uint8 reason;
    }

    /// What an owner signs to take a request back.
    #[derive(Debug, PartialEq, Eq)]
    struct Cancellation {
        bytes32 task;
    }

    /// What a party signs to release a secret to one enclave.
    #[derive(Debug, PartialEq, Eq)]
    struct Release {
        bytes32 task;
        address enclave;
        bytes32 secretHash;
    }

    #[derive(Debug, PartialEq, Eq)]
    interface IProofOfExecution {
        enum Phase { None, Requested, Matched, Approved, Proven, Cancelled, Expired }

        event Requested(bytes32 indexed task, address indexed owner, bytes32 indexed image, Request request);
        event Sponsored(bytes32 indexed task, address indexed sponsor);
        event Uses(bytes32 indexed input, bytes32 indexed task);
        event Offered(bytes32 indexed offer, address indexed processor, Offer terms);
        event OfferWithdrawn(bytes32 indexed offer, address indexed processor);
        event Matched(bytes32 indexed task, bytes32 indexed offer, address indexed processor, address enclave, bytes32 evidenceHash, uint96 bond);
        event Rejected(bytes32 indexed task, address indexed processor, address indexed account, address enclave, uint8 reason);
        event Approved(bytes32 indexed task, address indexed enclave, bytes32 secretHash);
        event Released(bytes32 indexed task, address indexed account, address indexed enclave, bytes32 secretHash, uint8 missing);
        event Proven(bytes32 indexed task, address indexed processor, bytes32 indexed results, Receipt receipt, bytes32 archive);
        event Members(bytes32 indexed task, bytes32 root, uint16 count);
        event Cancelled(bytes32 indexed task);
        event Expired(bytes32 indexed task, Phase from);
        event Withdrawn(address indexed account, uint256 amount);

        error NotYours();
        error WrongPhase(Phase phase);
        error TooLate(uint256 deadline);
        error TooEarly(uint256 deadline);
        error BadRecord(uint8 field);
        error WrongValue(uint256 needed);
        error AlreadyUsed();
        error OfferClosed();
        error DoesNotFit(uint8 field);
        error WrongEnclave();
        error BadSignature();
        error NotDirect();
        error NeedsRelease();
        error NotMissing();
        error BadOutcome();
        error NothingToWithdraw();
        error PaymentRefused();

        function request(Request calldata record) external payable returns (bytes32 task);
        function requestFor(Request calldata record, bytes calldata signature) external payable returns (bytes32 task);
        function offer(Offer calldata record) external returns (bytes32 id);
        function withdrawOffer(Offer calldata record) external;
        function matchTask(Request calldata record, Offer calldata terms, address enclave, bytes calldata evidence) external payable;
        function matchListed(Request calldata record, Offer calldata terms, address enclave, bytes calldata evidence, bytes32[] calldata path) external payable;
        function reject(Request calldata record, address enclave, uint8 reason) external;
        function rejectFor(Request calldata record, uint8 party, address enclave, uint8 reason, bytes calldata signature) external;
        function approve(bytes32 task, address enclave, bytes calldata secret) external;
        function release(Request calldata record, uint8 party, address enclave, bytes calldata secret) external;
        function prove(Receipt calldata receipt, bytes32 archive, bytes calldata signature) external;
        function proveMany(Receipt calldata receipt, bytes32 archive, bytes32 members, uint16 count, bytes calldata signature) external;
        function cancel(bytes32 task) external;
        function cancelFor(bytes32 task, bytes calldata signature) external;
        function expire(Request calldata record) external;
        function withdraw() external;
        function task(bytes32 id) external view returns (Phase phase, address owner, address processor, address enclave, uint96 price, uint96 bond, uint64 deadline, bytes32 history, address sponsor, uint8 missing);
        function isOpen(bytes32 offerId) external view returns (bool);
        function credit(address account) external view returns (uint256);
    }
}

/// Most bytes of one ABI-encoded record: a request with all its inputs and co-owners has 2,144.
pub const MAX_RECORD_BYTES: usize = 4096;

/// Bytes are not the one ABI encoding of a record.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not the canonical ABI encoding of a {0}")]
pub struct NotCanonical(pub &'static str);

/// Decodes a record from its one ABI encoding.
///
/// # Errors
/// Oversized, malformed or not canonical bytes.
pub fn parse<T>(bytes: &[u8], name: &'static str) -> Result<T, NotCanonical>
where
    T: alloy_sol_types::SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>,
{
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(NotCanonical(name));
    }
    let record = T::abi_decode(bytes).map_err(|_| NotCanonical(name))?;
    if record.abi_encode() == bytes { Ok(record) } else { Err(NotCanonical(name)) }
}
