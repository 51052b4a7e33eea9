// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";
import {Records} from "./Records.sol";
import {Escrow, Pledge, Run, packEscrow, packPledge, packRun, phaseOf} from "./Slots.sol";

/// @title Proof of eXecution
/// @notice Nobody owns this contract and nothing can change it. Each call checks in the order of spec §4, then writes, then
/// emits; money leaves only by `withdraw`, after both.
contract ProofOfExecution is IProofOfExecution {
    /// @dev Four slots, each read and written whole, at most once a call. `run` and `pledge` are zero unless the task is
    /// Matched or Approved: a request writes two new slots, and its deadline, `matchBy`, travels with the calls that need it.
    struct Task {
        Escrow escrow;
        Run run;
        Pledge pledge;
        bytes32 history;
    }

    /// @dev The steps of a history, spec §5.1.
    uint256 private constant REQUEST = 1;
    uint256 private constant MATCH = 2;
    uint256 private constant REJECT = 3;
    uint256 private constant APPROVE = 4;
    uint256 private constant PROVE = 5;
    uint256 private constant CANCEL = 6;
    uint256 private constant EXPIRE = 7;

    /// @dev Bounds the gas of a request: each input costs a word of calldata and an event.
    uint256 private constant MAX_INPUTS = 32;
    /// @dev A price has 95 bits: the slot that holds it has one bit for the end.
    uint256 private constant MAX_PRICE = 2 ** 95 - 1;
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
        _checkBounds(record);
        uint96 price = record.price;
        if (msg.value != price) revert WrongValue(price);
        id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        if (Escrow.unwrap(t.escrow) != 0) revert AlreadyUsed();

        t.escrow = packEscrow(msg.sender, price);
        t.history = Records.extend(0, REQUEST, id, block.number, block.timestamp);

        emit Requested(id, msg.sender, record.image, record);
        bytes32[] memory inputs = record.inputs;
        for (uint256 i = 0; i < inputs.length; ++i) {
            emit Uses(inputs[i], id);
        }
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
        bytes32 separator = _domain();
        bytes32 id = Records.requestId(separator, record);
        Task storage t = _tasks[id];
        _checkRequested(t.escrow, t.run);
        if (block.timestamp > record.matchBy) revert TooLate(record.matchBy);
        if (terms.processor != msg.sender) revert NotYours();
        if (record.processor != address(0) && record.processor != msg.sender) revert NotYours();
        bytes32 offerId = Records.offerId(separator, terms);
        if (_withdrawn[offerId]) revert OfferClosed();
        if (block.timestamp > terms.validUntil) revert TooLate(terms.validUntil);
        _checkFit(record, terms);
        if (enclave == address(0)) revert WrongEnclave();
        uint96 bond = terms.bond;
        if (msg.value != bond) revert WrongValue(bond);

        t.run = packRun(msg.sender, block.timestamp + record.approveWithin, record.proveWithin);
        t.pledge = packPledge(enclave, bond);
        bytes32 evidenceHash = keccak256(evidence);
        _step(t, MATCH, Records.matchPayload(offerId, msg.sender, enclave, evidenceHash));

        emit Matched(id, offerId, msg.sender, enclave, evidenceHash, bond);
    }

    /// @inheritdoc IProofOfExecution
    function reject(Request memory record, uint8 reason) external {
        bytes32 id = Records.requestId(_domain(), record);
        Task storage t = _tasks[id];
        Run run = t.run;
        _checkAnswer(t.escrow, run);

        address processor = run.processor();
        _pay(processor, t.pledge.bond());
        _clear(t);
        _step(t, REJECT, bytes32(uint256(reason)));

        emit Rejected(id, processor, reason);
    }

    /// @inheritdoc IProofOfExecution
    function approve(bytes32 id, address enclave, bytes calldata secret) external {
        Task storage t = _tasks[id];
        Run run = t.run;
        _checkAnswer(t.escrow, run);
        if (t.pledge.enclave() != enclave) revert WrongEnclave();
        if (!_isReleased(id, enclave, secret)) revert BadSignature();

        t.run = run.approve(block.timestamp);
        bytes32 secretHash = keccak256(secret);
        _step(t, APPROVE, Records.approvePayload(enclave, secretHash));

        emit Approved(id, enclave, secretHash);
    }

    /// @inheritdoc IProofOfExecution
    function prove(Receipt memory receipt, bytes32 archive, bytes calldata signature) external {
        bytes32 id = receipt.task;
        Task storage t = _tasks[id];
        (Escrow escrow, Run run) = (t.escrow, t.run);
        if (run.phase() != Phase.Approved) revert WrongPhase(phaseOf(escrow, run));
        if (block.timestamp > run.deadline()) revert TooLate(run.deadline());
        Pledge pledge = t.pledge;
        if (pledge.enclave() != receipt.enclave) revert WrongEnclave();
        // Whose doing the outcome is, spec §6.1: 0 the task's, 1 the owner's, 2 nobody's, 3 the processor's.
        uint256 doing = receipt.outcome >> 4;
        if (doing > 3) revert BadOutcome();
        bytes32 separator = _domain();
        bytes32 signed = Records.archivedReceiptId(separator, Records.receiptId(separator, receipt), archive);
        if (!_signedBy(receipt.enclave, signed, signature)) revert BadSignature();

        (uint256 earned, uint256 returned) = (pledge.bond(), escrow.price());
        if (doing < 2) (earned, returned) = (earned + returned, 0);
        else if (doing > 2) (earned, returned) = (0, earned + returned);
        address processor = run.processor();
        _pay(processor, earned);
        _pay(escrow.owner(), returned);
        _clear(t);
        _end(t, escrow, Phase.Proven, PROVE, signed);

        emit Proven(id, processor, receipt.results, receipt, archive);
    }

    /// @inheritdoc IProofOfExecution
    function cancel(bytes32 id) external {
        Task storage t = _tasks[id];
        Escrow escrow = t.escrow;
        _checkRequested(escrow, t.run);
        if (escrow.owner() != msg.sender) revert NotYours();

        _pay(msg.sender, escrow.price());
        _end(t, escrow, Phase.Cancelled, CANCEL, 0);

        emit Cancelled(id);
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

        _pay(escrow.owner(), escrow.price());
        if (from != Phase.Requested) {
            // The bond answers for an approved task that was not proven; a match that the owner left unanswered costs nothing.
            _pay(from == Phase.Approved ? escrow.owner() : run.processor(), t.pledge.bond());
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
            bytes32 history
        )
    {
        Task storage t = _tasks[id];
        (Escrow escrow, Run run, Pledge pledge) = (t.escrow, t.run, t.pledge);
        return (
            phaseOf(escrow, run),
            escrow.owner(),
            run.processor(),
            pledge.enclave(),
            escrow.price(),
            pledge.bond(),
            uint64(run.deadline()),
            t.history
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

    /// @dev Adds to what `account` can withdraw. Zero is skipped: it would only cost gas.
    function _pay(address account, uint256 amount) private {
        if (amount != 0) _credits[account] += amount;
    }

    /// @dev Nobody runs the task any more.
    function _clear(Task storage t) private {
        t.run = Run.wrap(0);
        t.pledge = Pledge.wrap(0);
    }

    /// @dev Owner, phase and history stay: the id can never be used again, and what happened stays provable.
    function _end(Task storage t, Escrow escrow, Phase phase, uint256 step, bytes32 payload) private {
        t.escrow = escrow.endAs(phase);
        _step(t, step, payload);
    }

    function _step(Task storage t, uint256 step, bytes32 payload) private {
        t.history = Records.extend(t.history, step, payload, block.number, block.timestamp);
    }

    /// @dev Computed anew each time: after a split of the chain the two sides have two chain ids, and two sets of ids.
    function _domain() private view returns (bytes32) {
        return Records.domain(block.chainid, address(this));
    }

    /// @dev The check that `matchTask` and `cancel` share.
    function _checkRequested(Escrow escrow, Run run) private pure {
        Phase phase = phaseOf(escrow, run);
        if (phase != Phase.Requested) revert WrongPhase(phase);
    }

    /// @dev The checks that `approve` and `reject` share.
    function _checkAnswer(Escrow escrow, Run run) private view {
        if (run.phase() != Phase.Matched) revert WrongPhase(phaseOf(escrow, run));
        if (escrow.owner() != msg.sender) revert NotYours();
        if (block.timestamp > run.deadline()) revert TooLate(run.deadline());
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
        if (record.matchBy < block.timestamp || record.matchBy > block.timestamp + MAX_LONG_TIME) revert BadRecord(13);
        if (record.approveWithin == 0 || record.approveWithin > MAX_SHORT_TIME) revert BadRecord(14);
        if (record.proveWithin < record.timeLimit || record.proveWithin > MAX_LONG_TIME) revert BadRecord(15);
    }

    /// @dev Whether the offer can serve the request; the number is the request's field that it can't serve.
    function _checkFit(Request memory record, Offer memory terms) private pure {
        if (record.kinds & terms.kinds == 0) revert DoesNotFit(8);
        if (terms.cpuMillis < record.cpuMillis) revert DoesNotFit(9);
        if (terms.memoryMib < record.memoryMib) revert DoesNotFit(10);
        if (terms.diskMib < record.diskMib) revert DoesNotFit(11);
        if (terms.timeLimit < record.timeLimit) revert DoesNotFit(12);
        if (uint256(terms.pricePerSecond) * record.timeLimit > record.price) revert DoesNotFit(2);
    }

    /// @dev Whether `secret` begins with the caller's signature that releases the rest to this enclave, as spec §9.1 says. An
    /// enclave refuses anything else, and its processor would lose the bond for it.
    function _isReleased(bytes32 id, address enclave, bytes calldata secret) private view returns (bool) {
        if (secret.length <= SIGNATURE_BYTES || secret.length > MAX_SECRET_BYTES) return false;
        bytes32 release = Records.releaseId(_domain(), id, enclave, keccak256(secret[SIGNATURE_BYTES:]));
        return _signedBy(msg.sender, release, secret[:SIGNATURE_BYTES]);
    }

    /// @dev `signer` must not be zero, which is what the precompile answers for a signature by nobody: `matchTask` refuses a
    /// zero enclave, and nobody calls from the zero address.
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
