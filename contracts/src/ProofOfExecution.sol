// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "./IERC1271.sol";
import {IProofOfExecution} from "./IProofOfExecution.sol";
import {Records} from "./Records.sol";
import {Escrow, Pledge, Run, packEscrow, packPledge, packRun, phaseOf} from "./Slots.sol";

/// @title Proof of eXecution
/// @notice Nobody owns this contract and nothing can change it. Each call checks in the order of spec §4, then writes, then
/// emits; money leaves only by `withdraw`, after both.
contract ProofOfExecution is IProofOfExecution {
    /// @dev Slots that are each read and written whole, at most once a call. `run` and `pledge` are zero unless the task is
    /// Matched or Approved: a request writes two new slots, and its deadline, `matchBy`, travels with the calls that need it.
    /// `sponsor` is written only where there is one, and gone after the end.
    struct Task {
        Escrow escrow;
        Run run;
        Pledge pledge;
        bytes32 history;
        address sponsor;
    }

    /// @dev The steps of a history, spec §5.1.
    uint256 private constant REQUEST = 1;
    uint256 private constant MATCH = 2;
    uint256 private constant REJECT = 3;
    uint256 private constant APPROVE = 4;
    uint256 private constant PROVE = 5;
    uint256 private constant CANCEL = 6;
    uint256 private constant EXPIRE = 7;
    uint256 private constant RELEASE = 8;
    uint256 private constant PROVE_MANY = 9;

    /// @dev Bounds the gas of a request: each input costs a word of calldata and an event.
    uint256 private constant MAX_INPUTS = 32;
    /// @dev Each has a bit in one byte of a slot, as the owner has.
    uint256 private constant MAX_CO_OWNERS = 7;
    /// @dev A price has 94 bits: the slot that holds it has one bit for the end, and one for a sponsor.
    uint256 private constant MAX_PRICE = 2 ** 94 - 1;
    /// @dev What a contract may use to judge a signature; the memory that its answer takes is bounded by it too.
    uint256 private constant WALLET_GAS = 250_000;
    /// @dev The longest run, and the longest an owner may think: a processor's bond is locked that long.
    uint256 private constant MAX_SHORT_TIME = 30 days;
    /// @dev The longest that money can be locked in one phase.
    uint256 private constant MAX_LONG_TIME = 365 days;
    /// @dev A signature: r, s, v.
    uint256 private constant SIGNATURE_BYTES = 65;
    /// @dev The longest secret that an enclave takes: a longer one could be approved and never used.
    uint256 private constant MAX_SECRET_BYTES = 72 * 1024;
    /// @dev Half the order of secp256k1: of the two valid `s` only the lower is accepted.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    mapping(bytes32 id => Task) private _tasks;
    /// @dev Only what is withdrawn costs storage: an offer that was never posted can be matched by nobody but its processor.
    mapping(bytes32 offerId => bool withdrawn) private _withdrawn;
    mapping(address account => uint256 wei_) private _credits;

    /// @inheritdoc IProofOfExecution
    function request(Request memory record) external payable returns (bytes32 id) {
        if (record.owner != msg.sender) revert NotYours();
        Task storage t;
        (id, t) = _checkNew(record);

        _open(id, t, record, false);
    }

    /// @inheritdoc IProofOfExecution
    function requestFor(Request memory record, bytes calldata signature) external payable returns (bytes32 id) {
        // Zero is what the precompile answers for a signature by nobody.
        if (record.owner == address(0)) revert BadRecord(0);
        Task storage t;
        (id, t) = _checkNew(record);
        if (!_isSignedBy(record.owner, id, signature)) revert BadSignature();

        t.sponsor = msg.sender;
        _open(id, t, record, true);

        emit Sponsored(id, msg.sender);
    }

    /// @inheritdoc IProofOfExecution
    function offer(Offer memory record) external returns (bytes32 id) {
        if (record.processor != msg.sender) revert NotYours();
        if (record.kinds == 0) revert BadRecord(1);
        if (record.validUntil < block.timestamp) revert BadRecord(8);
        id = Records.offerId(_domain(), record);

        emit Offered(id, msg.sender, record);
    }

    /// @inheritdoc IProofOfExecution
    function withdrawOffer(Offer memory record) external {
        if (record.processor != msg.sender) revert NotYours();
        bytes32 id = Records.offerId(_domain(), record);
        if (_withdrawn[id]) revert OfferClosed();

        _withdrawn[id] = true;

        emit OfferWithdrawn(id, msg.sender);
    }

    /// @inheritdoc IProofOfExecution
    function matchTask(Request memory record, Offer memory terms, address enclave, bytes calldata evidence) external payable {
        bytes32 processors = record.processors;
        _match(record, terms, enclave, evidence, processors == 0 || processors == bytes32(uint256(uint160(msg.sender))));
    }

    /// @inheritdoc IProofOfExecution
    function matchListed(
        Request memory record,
        Offer memory terms,
        address enclave,
        bytes calldata evidence,
        bytes32[] memory path
    ) external payable {
        _match(record, terms, enclave, evidence, Records.isListed(record.processors, msg.sender, path));
    }

    /// @inheritdoc IProofOfExecution
    function reject(Request memory record, address enclave, uint8 reason) external {
        bytes32 id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        _checkAnswer(t, t.run, enclave);

        _reject(id, t, _partyOfSender(record), enclave, reason);
    }

    /// @inheritdoc IProofOfExecution
    function rejectFor(Request memory record, uint8 party, address enclave, uint8 reason, bytes calldata signature) external {
        bytes32 id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        _checkAnswer(t, t.run, enclave);
        (address account, address signer) = _party(record, party);
        if (!_isSignedBy(signer, Records.refusalId(_domain(), id, enclave, reason), signature)) revert BadSignature();

        _reject(id, t, account, enclave, reason);
    }

    /// @inheritdoc IProofOfExecution
    function approve(bytes32 id, address enclave, bytes calldata secret) external {
        Task storage t = _tasks[id];
        Run run = t.run;
        _checkAnswer(t, run, enclave);
        if (run.missing() != 0) revert NeedsRelease();
        _checkSecret(id, enclave, t.escrow.owner(), secret);

        t.run = run.approve(block.timestamp);
        bytes32 secretHash = keccak256(secret);
        _step(t, APPROVE, Records.approvePayload(enclave, secretHash));

        emit Approved(id, enclave, secretHash);
    }

    /// @inheritdoc IProofOfExecution
    function release(Request memory record, uint8 party, address enclave, bytes calldata secret) external {
        bytes32 id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        Run run = t.run;
        _checkAnswer(t, run, enclave);
        (address account, address signer) = _party(record, party);
        if (!run.misses(party)) revert NotMissing();
        _checkSecret(id, enclave, signer, secret);

        run = run.without(party);
        t.run = run.missing() == 0 ? run.approve(block.timestamp) : run;
        bytes32 secretHash = keccak256(secret);
        _step(t, RELEASE, Records.releasePayload(account, enclave, secretHash));

        emit Released(id, account, enclave, secretHash, run.missing());
    }

    /// @inheritdoc IProofOfExecution
    function prove(Receipt memory receipt, bytes32 archive, bytes calldata signature) external {
        bytes32 separator = _domain();
        bytes32 signed = Records.archivedReceiptId(separator, Records.receiptId(separator, receipt), archive);
        _prove(receipt, archive, PROVE, signed, signature);
    }

    /// @inheritdoc IProofOfExecution
    function proveMany(Receipt memory receipt, bytes32 archive, bytes32 members, uint16 count, bytes calldata signature)
        external
    {
        bytes32 separator = _domain();
        bytes32 signed = Records.archivedBatchId(separator, Records.receiptId(separator, receipt), archive, members, count);
        _prove(receipt, archive, PROVE_MANY, signed, signature);

        emit Members(receipt.task, members, count);
    }

    /// @inheritdoc IProofOfExecution
    function cancel(bytes32 id) external {
        Task storage t = _tasks[id];
        Escrow escrow = _checkRequested(t);
        if (escrow.owner() != msg.sender) revert NotYours();

        _cancel(id, t, escrow);
    }

    /// @inheritdoc IProofOfExecution
    function cancelFor(bytes32 id, bytes calldata signature) external {
        Task storage t = _tasks[id];
        Escrow escrow = _checkRequested(t);
        if (!_isSignedBy(escrow.owner(), Records.cancellationId(_domain(), id), signature)) revert BadSignature();

        _cancel(id, t, escrow);
    }

    /// @inheritdoc IProofOfExecution
    function expire(Request memory record) external {
        bytes32 id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        (Escrow escrow, Run run) = (t.escrow, t.run);
        Phase from = phaseOf(escrow, run);
        if (from != Phase.Requested && from != Phase.Matched && from != Phase.Approved) revert WrongPhase(from);
        uint256 deadline = from == Phase.Requested ? record.matchBy : run.deadline();
        if (block.timestamp <= deadline) revert TooEarly(deadline);

        _pay(_payer(t, escrow), escrow.price());
        if (from != Phase.Requested) {
            // The bond answers for an approved task that was not proven; a match that the owner left unanswered costs nothing.
            Pledge pledge = t.pledge;
            _pay(from == Phase.Approved ? escrow.owner() : pledge.processor(), pledge.bond());
            _clear(t);
        }
        _end(t, escrow, Phase.Expired, EXPIRE, 0);

        emit Expired(id, from);
    }

    /// @inheritdoc IProofOfExecution
    function withdraw() external {
        uint256 amount = _credits[msg.sender];
        if (amount == 0) revert NothingToWithdraw();

        _credits[msg.sender] = 0;

        emit Withdrawn(msg.sender, amount);

        (bool accepted,) = msg.sender.call{value: amount}("");
        if (!accepted) revert PaymentRefused();
    }

    /// @inheritdoc IProofOfExecution
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
        )
    {
        Task storage t = _tasks[id];
        (Escrow escrow, Run run, Pledge pledge) = (t.escrow, t.run, t.pledge);
        return (
            phaseOf(escrow, run),
            escrow.owner(),
            pledge.processor(),
            run.enclave(),
            escrow.price(),
            pledge.bond(),
            uint64(run.deadline()),
            t.history,
            t.sponsor,
            run.missing()
        );
    }

    /// @inheritdoc IProofOfExecution
    function isOpen(bytes32 offerId) external view returns (bool) {
        return !_withdrawn[offerId];
    }

    /// @inheritdoc IProofOfExecution
    function credit(address account) external view returns (uint256) {
        return _credits[account];
    }

    function _open(bytes32 id, Task storage t, Request memory record, bool sponsored) private {
        t.escrow = packEscrow(record.owner, record.price, sponsored);
        t.history = Records.extend(0, REQUEST, id, block.number, block.timestamp);

        emit Requested(id, record.owner, record.image, record);
        bytes32[] memory inputs = record.inputs;
        for (uint256 i = 0; i < inputs.length; ++i) {
            emit Uses(inputs[i], id);
        }
    }

    function _match(Request memory record, Offer memory terms, address enclave, bytes calldata evidence, bool allowed) private {
        bytes32 separator = _domain();
        bytes32 id = Records.requestId(separator, record);
        Task storage t = _tasks[id];
        _checkRequested(t);
        if (block.timestamp > record.matchBy) revert TooLate(record.matchBy);
        if (terms.processor != msg.sender) revert NotYours();
        if (!allowed) revert NotYours();
        bytes32 offerId = Records.offerId(separator, terms);
        if (_withdrawn[offerId]) revert OfferClosed();
        if (block.timestamp > terms.validUntil) revert TooLate(terms.validUntil);
        _checkFit(record, terms);
        if (enclave == address(0)) revert WrongEnclave();
        uint96 bond = terms.bond;
        if (msg.value != bond) revert WrongValue(bond);

        // The owner alone, by its own key, releases with `approve`, which does not carry the record.
        uint256 coOwners = record.coOwners.length;
        uint256 parties = coOwners == 0 && record.delegate == address(0) ? 0 : 2 ** (coOwners + 1) - 1;
        // Both are far below 2^40.
        unchecked {
            t.run = packRun(enclave, block.timestamp + record.approveWithin, record.proveWithin, parties);
        }
        t.pledge = packPledge(msg.sender, bond);
        bytes32 evidenceHash = keccak256(evidence);
        _step(t, MATCH, Records.matchPayload(offerId, msg.sender, enclave, evidenceHash));

        emit Matched(id, offerId, msg.sender, enclave, evidenceHash, bond);
    }

    function _reject(bytes32 id, Task storage t, address account, address enclave, uint8 reason) private {
        Pledge pledge = t.pledge;
        address processor = pledge.processor();
        _pay(processor, pledge.bond());
        _clear(t);
        _step(t, REJECT, Records.rejectPayload(account, reason));

        emit Rejected(id, processor, account, enclave, reason);
    }

    /// @param signed what the enclave signed, which binds the receipt
    function _prove(Receipt memory receipt, bytes32 archive, uint256 step, bytes32 signed, bytes calldata signature) private {
        bytes32 id = receipt.task;
        Task storage t = _tasks[id];
        (Escrow escrow, Run run) = (t.escrow, t.run);
        if (!run.isIn(Phase.Approved)) revert WrongPhase(phaseOf(escrow, run));
        if (block.timestamp > run.deadline()) revert TooLate(run.deadline());
        if (run.enclave() != receipt.enclave) revert WrongEnclave();
        // Whose doing the outcome is, spec §6.1: 0 the task's, 1 the owner's, 2 nobody's, 3 the processor's.
        uint256 doing = receipt.outcome >> 4;
        if (doing > 3) revert BadOutcome();
        if (!_signedBy(receipt.enclave, signed, signature)) revert BadSignature();

        Pledge pledge = t.pledge;
        address processor = pledge.processor();
        (uint256 price, uint256 bond) = (escrow.price(), pledge.bond());
        if (doing < 2) {
            // 94 and 96 bits.
            unchecked {
                _pay(processor, price + bond);
            }
        } else {
            _pay(_payer(t, escrow), price);
            _pay(doing == 2 ? processor : escrow.owner(), bond);
        }
        _clear(t);
        _end(t, escrow, Phase.Proven, step, signed);

        emit Proven(id, processor, receipt.results, receipt, archive);
    }

    function _cancel(bytes32 id, Task storage t, Escrow escrow) private {
        _pay(_payer(t, escrow), escrow.price());
        _end(t, escrow, Phase.Cancelled, CANCEL, 0);

        emit Cancelled(id);
    }

    /// @dev Adds to what `account` can withdraw. Zero is skipped: it would only cost gas.
    function _pay(address account, uint256 amount) private {
        if (amount == 0) return;
        // Credits are coins that the contract holds: there are fewer than 2^256 of them.
        unchecked {
            _credits[account] += amount;
        }
    }

    /// @dev Nobody runs the task any more.
    function _clear(Task storage t) private {
        t.run = Run.wrap(0);
        t.pledge = Pledge.wrap(0);
    }

    /// @dev Owner, phase and history stay: the id can never be used again, and what happened stays provable.
    function _end(Task storage t, Escrow escrow, Phase phase, uint256 step, bytes32 payload) private {
        t.escrow = escrow.endAs(phase);
        if (escrow.isSponsored()) t.sponsor = address(0);
        _step(t, step, payload);
    }

    function _step(Task storage t, uint256 step, bytes32 payload) private {
        t.history = Records.extend(t.history, step, payload, block.number, block.timestamp);
    }

    /// @dev Computed anew each time: after a split of the chain the two sides have two chain ids, and two sets of ids.
    function _domain() private view returns (bytes32) {
        return Records.domain(block.chainid, address(this));
    }

    /// @dev Who gets what is left of the price.
    function _payer(Task storage t, Escrow escrow) private view returns (address) {
        return escrow.isSponsored() ? t.sponsor : escrow.owner();
    }

    /// @dev The checks that `request` and `requestFor` share.
    function _checkNew(Request memory record) private view returns (bytes32 id, Task storage t) {
        _checkBounds(record);
        if (msg.value != record.price) revert WrongValue(record.price);
        id = Records.requestId(_domain(), record);
        t = _tasks[id];
        if (Escrow.unwrap(t.escrow) != 0) revert AlreadyUsed();
    }

    /// @dev The check that matching and cancelling share.
    function _checkRequested(Task storage t) private view returns (Escrow escrow) {
        escrow = t.escrow;
        Run run = t.run;
        bool requested = Run.unwrap(run) == 0 && Escrow.unwrap(escrow) != 0 && !escrow.hasEnded();
        if (!requested) revert WrongPhase(phaseOf(escrow, run));
    }

    /// @dev The checks that every answer to a named enclave's evidence shares.
    function _checkAnswer(Task storage t, Run run, address enclave) private view {
        if (!run.isIn(Phase.Matched)) revert WrongPhase(phaseOf(t.escrow, run));
        if (block.timestamp > run.deadline()) revert TooLate(run.deadline());
        if (run.enclave() != enclave) revert WrongEnclave();
    }

    /// @dev Whether `secret` begins with `signer`'s signature that releases the rest to this enclave, as spec §9.1 says. An
    /// enclave refuses anything else, and its processor would lose the bond for it; as it would if it did not find the secret,
    /// because code made the call: a contract's, or that of an account with a key (EIP-7702), which is the origin even so.
    function _checkSecret(bytes32 id, address enclave, address signer, bytes calldata secret) private view {
        if (msg.sender != tx.origin || msg.sender.code.length != 0) revert NotDirect();
        if (secret.length <= SIGNATURE_BYTES || secret.length > MAX_SECRET_BYTES) revert BadSignature();
        bytes32 release_ = Records.releaseId(_domain(), id, enclave, keccak256(secret[SIGNATURE_BYTES:]));
        if (!_signedBy(signer, release_, secret[:SIGNATURE_BYTES])) revert BadSignature();
    }

    /// @dev A party of a task and whose key signs for it: the owner is 0, co-owner `i` is `i + 1`.
    function _party(Request memory record, uint256 party) private pure returns (address account, address signer) {
        if (party == 0) return (record.owner, record.delegate == address(0) ? record.owner : record.delegate);
        if (party > record.coOwners.length) revert NotYours();
        account = record.coOwners[party - 1].account;
        signer = account;
    }

    /// @dev The party that the caller is or speaks for.
    function _partyOfSender(Request memory record) private view returns (address) {
        (address owner, address signer) = _party(record, 0);
        if (msg.sender == owner || msg.sender == signer) return owner;
        CoOwner[] memory coOwners = record.coOwners;
        for (uint256 i = 0; i < coOwners.length; ++i) {
            if (msg.sender == coOwners[i].account) return msg.sender;
        }
        revert NotYours();
    }

    /// @dev The bounds of spec §3.1, in the order of the fields.
    function _checkBounds(Request memory record) private view {
        if (record.price > MAX_PRICE) revert BadRecord(2);
        if (record.image == 0) revert BadRecord(3);
        bytes32[] memory inputs = record.inputs;
        if (inputs.length > MAX_INPUTS) revert BadRecord(4);
        for (uint256 i = 0; i < inputs.length; ++i) {
            if (inputs[i] == 0) revert BadRecord(4);
        }
        if (record.terms == 0) revert BadRecord(5);
        if (record.policy == 0) revert BadRecord(7);
        if (record.kinds == 0) revert BadRecord(8);
        if (record.cpuMillis == 0) revert BadRecord(9);
        if (record.memoryMib == 0) revert BadRecord(10);
        if (record.diskMib == 0) revert BadRecord(11);
        if (record.timeLimit == 0 || record.timeLimit > MAX_SHORT_TIME) revert BadRecord(12);
        // A time before now wraps to one that is far too late.
        unchecked {
            if (record.matchBy - block.timestamp > MAX_LONG_TIME) revert BadRecord(13);
        }
        if (record.approveWithin == 0 || record.approveWithin > MAX_SHORT_TIME) revert BadRecord(14);
        if (record.proveWithin < record.timeLimit || record.proveWithin > MAX_LONG_TIME) revert BadRecord(15);
        if (record.delegate == record.owner) revert BadRecord(17);
        if (record.coOwners.length != 0) _checkCoOwners(record);
    }

    /// @dev In order, so that no account is there twice; no account signs for two parties, and no input has two owners.
    function _checkCoOwners(Request memory record) private pure {
        CoOwner[] memory coOwners = record.coOwners;
        if (coOwners.length > MAX_CO_OWNERS) revert BadRecord(18);
        address last = address(0);
        uint256 owned = 0;
        for (uint256 i = 0; i < coOwners.length; ++i) {
            (address account, uint256 inputs) = (coOwners[i].account, coOwners[i].inputs);
            if (account <= last || account == record.owner || account == record.delegate) revert BadRecord(18);
            if (inputs == 0 || inputs & owned != 0 || inputs >> record.inputs.length != 0) revert BadRecord(18);
            last = account;
            owned |= inputs;
        }
    }

    /// @dev Whether the offer can serve the request; the number is the request's field that it can't serve.
    function _checkFit(Request memory record, Offer memory terms) private pure {
        if (record.kinds & terms.kinds == 0) revert DoesNotFit(8);
        if (terms.cpuMillis < record.cpuMillis) revert DoesNotFit(9);
        if (terms.memoryMib < record.memoryMib) revert DoesNotFit(10);
        if (terms.diskMib < record.diskMib) revert DoesNotFit(11);
        if (terms.timeLimit < record.timeLimit) revert DoesNotFit(12);
        // 96 and 32 bits: the product has at most 128.
        unchecked {
            if (uint256(terms.pricePerSecond) * record.timeLimit > record.price) revert DoesNotFit(2);
        }
    }

    /// @dev Whether the signature is the account's: by its key, or as its code says.
    function _isSignedBy(address account, bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (account.code.length == 0) return _signedBy(account, digest, signature);
        (bool answered, bytes memory answer) =
            account.staticcall{gas: WALLET_GAS}(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        return answered && answer.length >= 32 && abi.decode(answer, (bytes32)) == bytes32(IERC1271.isValidSignature.selector);
    }

    /// @dev `signer` must not be zero, which is what the precompile answers for a signature by nobody: a match refuses a
    /// zero enclave, and a request a zero owner and co-owner.
    function _signedBy(address signer, bytes32 digest, bytes calldata signature) private pure returns (bool) {
        if (signature.length != SIGNATURE_BYTES) return false;
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (v != 27 && v != 28) return false;
        if (uint256(s) > MAX_S) return false;
        return ecrecover(digest, v, r, s) == signer;
    }
}
