// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Proof of eXecution: records, events and calls
/// @notice The owner requests a task, a processor offers resources, the two are matched, the owner approves one enclave,
/// and the enclave's receipt proves what ran. Every record travels with its call; its id is its EIP-712 digest, so ids bind
/// the chain and this contract.
/// @dev Assumptions: `block.timestamp` is off by seconds at most; the enclave's key exists only inside its TEE, which the
/// owner checks before `approve`, not this contract; calldata stays retrievable (evidence and sealed secrets are only in it).
/// Normative text: `spec/pox.md` §3 to §6.
interface IProofOfExecution {
    /// @notice Where a task stands. Proven, Cancelled and Expired are ends.
    enum Phase {
        None,
        Requested,
        Matched,
        Approved,
        Proven,
        Cancelled,
        Expired
    }

    /// @notice Somebody besides the owner whose data a task uses.
    /// @param account releases its own secret to the enclave, or refuses it; a key's, since the enclave checks its signature
    /// @param inputs which of the request's inputs are its: bit `i` for input `i`
    struct CoOwner {
        address account;
        uint32 inputs;
    }

    /// @notice One execution, as the owner asks for it. Its EIP-712 digest is the task id.
    /// @param owner requests the task, has its `price` escrowed, releases the secret
    /// @param processors who may match: zero, anyone; an account as a number, that one; else the root of a list (spec §3.4)
    /// @param price wei below 2^94, paid to the processor for a receipt whose outcome says so
    /// @param image SHA-256 of the OCI image manifest
    /// @param inputs dataset commitments (spec §7.3), at most 32
    /// @param terms root over the salted leaves that say how to run (spec §7.1)
    /// @param metadata root over the salted catalogue leaves, or zero
    /// @param policy SHA-256 of the evidence policy (spec §8.3)
    /// @param kinds bit set of the accepted TEE kinds (spec §8.1)
    /// @param cpuMillis thousandths of a processor core
    /// @param memoryMib memory limit, MiB
    /// @param diskMib scratch and result limit, MiB
    /// @param timeLimit wall-clock limit of the run, seconds
    /// @param matchBy last second in which the task can be matched, Unix time
    /// @param approveWithin seconds after the match in which the owner can approve or reject
    /// @param proveWithin seconds after the approval in which the receipt can be posted
    /// @param salt makes equal requests distinct
    /// @param delegate the key that signs releases and refusals for the owner; zero: the owner's own
    /// @param coOwners who else has to release a secret, at most 7, in ascending order of their accounts
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

    /// @notice Resources that a processor has; serves any number of its matches until withdrawn.
    /// @param processor offers, matches and is paid
    /// @param kinds bit set of the TEE kinds that it has
    /// @param pricePerSecond wei per second of a request's `timeLimit`; the least it works for
    /// @param bond wei that it deposits with each match, lost if an approved task is not proven in time
    /// @param validUntil last second in which the offer can be matched, Unix time
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

    /// @notice What ran and what came out, as the enclave saw it.
    /// @param outcome spec §6: 0..15 the task's doing, 16..31 the owner's, 32..47 nobody's, 48..63 the processor's
    /// @param exitCode the task's exit code, or 128 + signal; zero where it did not run
    /// @param results commitment to the sealed results, or zero
    /// @param report SHA-256 of the run report (protections, usage, sizes; spec §6.2)
    /// @param cpuMicros processor time used, microseconds
    /// @param wallMicros wall-clock time used, microseconds
    /// @param memoryPeak most memory used at once, bytes
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

    event Requested(bytes32 indexed task, address indexed owner, bytes32 indexed image, Request request);
    /// @notice Somebody else than the owner escrowed the price, and gets it back where an owner would.
    event Sponsored(bytes32 indexed task, address indexed sponsor);
    /// @notice One per input of a request, so that a dataset's whole history is one topic.
    event Uses(bytes32 indexed input, bytes32 indexed task);
    event Offered(bytes32 indexed offer, address indexed processor, Offer terms);
    event OfferWithdrawn(bytes32 indexed offer, address indexed processor);
    event Matched(
        bytes32 indexed task,
        bytes32 indexed offer,
        address indexed processor,
        address enclave,
        bytes32 evidenceHash,
        uint96 bond
    );
    /// @param account the owner or co-owner that refused
    event Rejected(bytes32 indexed task, address indexed processor, address indexed account, address enclave, uint8 reason);
    event Approved(bytes32 indexed task, address indexed enclave, bytes32 secretHash);
    /// @notice One of several parties released its secret.
    /// @param account the owner or co-owner
    /// @param missing the parties that have not: bit 0 the owner, bit `i` co-owner `i - 1`; zero: the task is Approved
    event Released(bytes32 indexed task, address indexed account, address indexed enclave, bytes32 secretHash, uint8 missing);
    event Proven(bytes32 indexed task, address indexed processor, bytes32 indexed results, Receipt receipt, bytes32 archive);
    /// @notice Follows the Proven of a batch: the root over its members' receipts (spec §6.3), and how many there are.
    event Members(bytes32 indexed task, bytes32 root, uint16 count);
    event Cancelled(bytes32 indexed task);
    event Expired(bytes32 indexed task, Phase from);
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice The caller is not the party that this call belongs to.
    error NotYours();
    /// @notice The task is in another phase than the call needs.
    error WrongPhase(Phase phase);
    /// @notice The call came after the deadline.
    error TooLate(uint256 deadline);
    /// @notice The deadline has not passed yet.
    error TooEarly(uint256 deadline);
    /// @notice A field of the record is out of its bounds; `field` counts from 0 in the record's order.
    error BadRecord(uint8 field);
    /// @notice The money sent is not exactly what the call needs.
    error WrongValue(uint256 needed);
    /// @notice This id was used before.
    error AlreadyUsed();
    /// @notice The offer is withdrawn.
    error OfferClosed();
    /// @notice Request and offer do not fit; `field` is the request's field that the offer can't serve.
    error DoesNotFit(uint8 field);
    /// @notice Not the enclave that was matched.
    error WrongEnclave();
    /// @notice The signature is not by the one whose it has to be, or it is not in canonical form.
    error BadSignature();
    /// @notice Not a transaction of its own, by an account without code: a call from code would hide the secret from the processor.
    error NotDirect();
    /// @notice The request names a delegate or co-owners, so each party's secret comes by `release`.
    error NeedsRelease();
    /// @notice The party's release is not missing: it was given, or the secret comes by `approve`.
    error NotMissing();
    /// @notice The outcome is not one of spec §6.
    error BadOutcome();
    /// @notice The account has no credit.
    error NothingToWithdraw();
    /// @notice The receiver refused the payment; the credit stays.
    error PaymentRefused();

    /// @notice Posts a request and escrows exactly `price`. Caller: the owner.
    function request(Request calldata record) external payable returns (bytes32 task);

    /// @notice Posts a request that its owner signed, and escrows exactly `price` for it. Caller: anyone, the sponsor from then
    /// on: what an owner would get back of the price is the sponsor's.
    /// @param signature the owner's over the task id: r, s, v; or whatever an owner that is a contract takes (ERC-1271)
    function requestFor(Request calldata record, bytes calldata signature) external payable returns (bytes32 task);

    /// @notice Advertises an offer, and stores nothing: its processor can match with it advertised or not, and nobody else can.
    /// Caller: the processor.
    function offer(Offer calldata record) external returns (bytes32 id);

    /// @notice Ends an offer for future matches, for good. Caller: the processor.
    function withdrawOffer(Offer calldata record) external;

    /// @notice Joins a request and an offer, names the enclave and carries its evidence; deposits exactly the offer's bond.
    /// Caller: the processor. (`match` is a reserved word of the language.)
    function matchTask(Request calldata record, Offer calldata terms, address enclave, bytes calldata evidence) external payable;

    /// @notice `matchTask` for a request with a list of processors.
    /// @param path from the caller's leaf to `processors` (spec §3.4), at most 32 nodes
    function matchListed(
        Request calldata record,
        Offer calldata terms,
        address enclave,
        bytes calldata evidence,
        bytes32[] calldata path
    ) external payable;

    /// @notice Refuses the evidence: the task is Requested again, the bond is the processor's; releases given are void.
    /// Caller: the owner, its delegate, or a co-owner.
    /// @param enclave the one whose evidence it is: a refusal that comes late hits no later match's
    function reject(Request calldata record, address enclave, uint8 reason) external;

    /// @notice The same by signature. Caller: anyone.
    /// @param party whose refusal it is: 0 the owner, `i` co-owner `i - 1`
    /// @param signature the party's (for an owner with a delegate, the delegate's) over Refusal{task, enclave, reason}
    function rejectFor(Request calldata record, uint8 party, address enclave, uint8 reason, bytes calldata signature) external;

    /// @notice Releases the sealed secret to that enclave. Caller: anyone, in a transaction of its own: the owner's signature
    /// is in front of the secret, and the processor reads the secret from the transaction.
    /// @param secret the owner's signature over Release{task, enclave, keccak256(sealed)}: r, s, v; then the sealed secret
    /// (spec §9.1). The contract refuses one that no enclave would take; whether it opens, only the enclave sees.
    function approve(bytes32 task, address enclave, bytes calldata secret) external;

    /// @notice Releases one party's secret, where the request names a delegate or co-owners; the last one approves the task.
    /// Caller: anyone, in a transaction of its own.
    /// @param party whose secret it is: 0 the owner, `i` co-owner `i - 1`
    /// @param secret as for `approve`, signed by the party, or by the delegate for an owner that has one
    function release(Request calldata record, uint8 party, address enclave, bytes calldata secret) external;

    /// @notice Posts the receipt; settles price and bond by its outcome. Caller: anyone.
    /// @param archive SHA-256 of the archived evidence (spec §8.5)
    /// @param signature the enclave's, over ArchivedReceipt{receipt, archive}: r, s, v
    function prove(Receipt calldata receipt, bytes32 archive, bytes calldata signature) external;

    /// @notice Posts the closing receipt of a batch, and with it the root over its members' receipts; settles as `prove`.
    /// @param members root over the members' receipts (spec §6.3)
    /// @param count how many members
    /// @param signature the enclave's, over ArchivedBatch{receipt, archive, members, count}: r, s, v
    function proveMany(Receipt calldata receipt, bytes32 archive, bytes32 members, uint16 count, bytes calldata signature)
        external;

    /// @notice Takes back a request that is not matched. Caller: the owner.
    function cancel(bytes32 task) external;

    /// @notice The same by signature. Caller: anyone.
    /// @param signature the owner's, over Cancellation{task}
    function cancelFor(bytes32 task, bytes calldata signature) external;

    /// @notice Ends a task whose deadline has passed; refunds the owner or sponsor. Caller: anyone.
    function expire(Request calldata record) external;

    /// @notice Pays the caller's credit out.
    function withdraw() external;

    /// @notice What a task's storage says. `history` is the running commitment over its steps (spec §5.2); `deadline` is zero
    /// unless the task is Matched or Approved: while it is Requested, the request's `matchBy` is the deadline. `sponsor` is zero
    /// if the owner paid, and after the end. `missing` are the parties whose `release` is missing, zero unless it is Matched.
    function task(bytes32 id)
        external
        view
        returns (
            Phase phase,
            address owner,
            address processor,
            address enclave,
            uint96 price,
            uint96 bond,
            uint64 deadline,
            bytes32 history,
            address sponsor,
            uint8 missing
        );

    /// @notice Whether the offer can be matched, time apart: whether it is not withdrawn.
    function isOpen(bytes32 offerId) external view returns (bool);

    /// @notice Wei that the account can withdraw.
    function credit(address account) external view returns (uint256);
}
