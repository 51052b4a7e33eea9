// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Random walks of several accounts over several tasks, most steps honest and some not, beside a model of them.
contract InvariantsTest is Base {
    Walker private walker;

    function setUp() public override {
        walker = new Walker();
        walker.setUp();
        pox = walker.target();
    }

    struct Selectors {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() public view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(walker), new bytes4[](8));
        // Steps forward are the likelier, so that a walk gets far.
        targets[0].selectors[0] = Walker.post.selector;
        targets[0].selectors[1] = Walker.move.selector;
        targets[0].selectors[2] = Walker.moveTwice.selector;
        targets[0].selectors[3] = Walker.moveThrice.selector;
        targets[0].selectors[4] = Walker.giveUp.selector;
        targets[0].selectors[5] = Walker.withdraw.selector;
        targets[0].selectors[6] = Walker.lie.selector;
        targets[0].selectors[7] = Walker.pass.selector;
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(walker);
    }

    function invariant_all() public view {
        balanceIsWhatIsOwed();
        creditsFollowTheTable();
        tasksFollowTheirSteps();
    }

    /// @dev No money is made or lost: the balance is what is escrowed, pledged and credited, by the contract's own word.
    function balanceIsWhatIsOwed() private view {
        uint256 owed = 0;
        for (uint256 i = 0; i < walker.tasks(); ++i) {
            State memory s = stateOf(walker.taskAt(i));
            owed += uint256(s.price) + s.bond;
        }
        for (uint256 i = 0; i < walker.ACTORS(); ++i) {
            owed += pox.credit(walker.actor(i));
        }
        same(address(pox).balance, owed, "balance");
    }

    /// @dev Each account is owed exactly what the table of spec §4 gives it.
    function creditsFollowTheTable() private view {
        for (uint256 i = 0; i < walker.ACTORS(); ++i) {
            same(pox.credit(walker.actor(i)), walker.credited(walker.actor(i)), "credit");
        }
    }

    /// @dev Storage says of each task what the steps that were accepted say, the history above all; so an ended task, which
    /// accepts no step, never changes.
    function tasksFollowTheirSteps() private view {
        for (uint256 i = 0; i < walker.tasks(); ++i) {
            bytes32 id = walker.taskAt(i);
            same(keccak256(abi.encode(stateOf(id))), keccak256(abi.encode(walker.modelOf(id))), "task");
        }
    }

    /// @dev After any walk time alone ends every task, and then everybody can take out what is theirs, to the last wei.
    function afterInvariant() public {
        walker.endByTime();
        same(address(pox).balance, 0, "all paid out");
    }

    /// @dev The walk is worth something: honest steps alone reach every phase.
    function test_walkReachesEveryPhase() public {
        for (uint256 seed = 0; seed < 300; ++seed) {
            uint256 s = uint256(keccak256(abi.encode(seed)));
            if (s % 9 < 2) walker.post(s >> 8, s >> 16);
            else if (s % 9 < 7) walker.move(s >> 8, s >> 16);
            else if (s % 9 < 8) walker.giveUp(s >> 8, s >> 16);
            else walker.pass(s >> 8);
        }
        for (uint256 step = 1; step <= 7; ++step) {
            check(walker.taken(step) != 0, string.concat("step never taken: ", vm.toString(step)));
        }
        invariant_all();
        afterInvariant();
    }
}

contract Walker is Base {
    uint256 public constant ACTORS = 4;
    uint256 private constant MAX_TASKS = 12;
    uint256 private constant FIRST_KEY = 0xac7000;

    address[] private _actors;
    mapping(address account => uint256 key) private _keys;
    mapping(address account => uint256 wei_) public credited;
    mapping(uint256 step => uint256 times) public taken;
    bytes32[] private _ids;
    mapping(bytes32 id => bytes record) private _requests; // ABI-encoded: this pipeline copies no nested arrays to storage
    mapping(bytes32 id => State state) private _models;
    uint256 private _time;
    uint256 private _number;

    function setUp() public override {
        super.setUp();
        (_time, _number) = (START, 1_000);
        for (uint256 i = 0; i < ACTORS; ++i) {
            address account = vm.addr(FIRST_KEY + i);
            _actors.push(account);
            _keys[account] = FIRST_KEY + i;
            vm.deal(account, 1_000 ether);
        }
    }

    function target() external view returns (I) {
        return pox;
    }

    function tasks() external view returns (uint256) {
        return _ids.length;
    }

    function taskAt(uint256 index) external view returns (bytes32) {
        return _ids[index];
    }

    function modelOf(bytes32 id) external view returns (State memory) {
        return _models[id];
    }

    function actor(uint256 index) public view returns (address) {
        return _actors[index % ACTORS];
    }

    /// @dev Time passes, by seconds or by days.
    function pass(uint256 seed) public {
        _time += seed % 8 == 0 ? seed % 40_000 : seed % 600;
        _number += 1 + seed % 3;
        vm.warp(_time);
        vm.roll(_number);
    }

    /// @dev A new request; its price may be nothing, its processor named.
    function post(uint256 seed, uint256 who) public {
        if (_ids.length == MAX_TASKS) return;
        I.Request memory record = aRequest();
        record.owner = actor(who);
        record.processors = seed % 3 == 0 ? bytes32(uint256(uint160(actor(seed >> 8)))) : bytes32(0);
        record.price = seed % 5 == 0 ? 0 : uint96(3_600 + seed % 1 ether);
        record.matchBy = uint64(_time + seed % 50_000);
        record.salt = bytes32(_ids.length);
        bytes32 id = request(record);
        _ids.push(id);
        _requests[id] = abi.encode(record);
        _models[id] = State(I.Phase.Requested, record.owner, address(0), address(0), record.price, 0, 0, 0, address(0), 0);
        step(id, 1, id);
    }

    /// @dev The next step of a task, by the party whose turn it is.
    function move(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        I.Phase phase = _models[id].phase;
        if (phase == I.Phase.Requested) matchBy(id, actor(seed));
        else if (phase == I.Phase.Matched) approveOrReject(id, seed);
        else if (phase == I.Phase.Approved) prove(id, seed);
    }

    function moveTwice(uint256 seed, uint256 which) public {
        move(seed, which);
        move(seed >> 24, which);
    }

    function moveThrice(uint256 seed, uint256 which) public {
        moveTwice(seed, which);
        move(seed >> 48, which);
    }

    /// @dev A task is given up: cancelled by its owner, or expired by anyone.
    function giveUp(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        if (seed % 2 == 0) cancel(id);
        else expire(id, actor(seed >> 8));
    }

    function withdraw(uint256 who) public {
        address account = actor(who);
        uint256 before = account.balance;
        vm.prank(account);
        try pox.withdraw() {
            require(account.balance == before + credited[account], "paid another amount");
            require(credited[account] != 0, "paid nothing");
            credited[account] = 0;
        } catch {
            require(credited[account] == 0, "credit refused");
        }
    }

    /// @dev Somebody tries a call that is not theirs to make, on a task in any phase. It must not be accepted.
    function lie(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        State memory m = _models[id];
        I.Request memory record = abi.decode(_requests[id], (I.Request));
        address liar = actor(seed >> 8);
        bytes memory call;
        uint256 value = 0;
        if (seed % 8 == 0) (call, value) = (abi.encodeCall(I.request, (record)), record.price);
        if (seed % 8 == 1) call = abi.encodeCall(I.matchTask, (record, offerOf(actor(seed >> 16)), address(0), ""));
        if (seed % 8 == 2) call = abi.encodeCall(I.approve, (id, liar, ""));
        if (seed % 8 == 3) call = abi.encodeCall(I.prove, (receiptOf(id, 0), ARCHIVE, new bytes(65)));
        if (seed % 8 == 4) call = abi.encodeCall(I.reject, (record, 0));
        if (seed % 8 == 5) call = abi.encodeCall(I.cancel, (id));
        // An offer of another account: the one after the liar.
        if (seed % 8 == 6) call = abi.encodeCall(I.offer, (offerOf(actor((seed >> 8) + 1))));
        if (seed % 8 == 7) (call, value) = (abi.encodeCall(I.cancel, (id)), 1);
        // The one party that may: not a lie.
        if (liar == m.owner && (seed % 8 == 4 || seed % 8 == 5)) return;
        vm.prank(liar);
        (bool accepted,) = address(pox).call{value: value}(call);
        require(!accepted, "accepted a call by the wrong party");
    }

    /// @dev Every deadline passes; anyone expires what is open, and each account withdraws.
    function endByTime() external {
        _time += 800 days;
        vm.warp(_time);
        for (uint256 i = 0; i < _ids.length; ++i) {
            if (uint256(_models[_ids[i]].phase) <= uint256(I.Phase.Approved)) expire(_ids[i], OTHER);
            require(uint256(_models[_ids[i]].phase) > uint256(I.Phase.Approved), "a task without an end");
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            withdraw(i);
        }
    }

    function matchBy(bytes32 id, address processor) private {
        I.Request memory record = abi.decode(_requests[id], (I.Request));
        I.Offer memory terms = offerOf(processor);
        bool good = _time <= record.matchBy
            && (record.processors == 0 || record.processors == bytes32(uint256(uint160(processor))))
            && record.price >= uint256(terms.pricePerSecond) * record.timeLimit;
        vm.prank(processor);
        try pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE) {
            require(good, "a bad match was accepted");
            State storage m = _models[id];
            (m.phase, m.processor, m.enclave, m.bond) = (I.Phase.Matched, processor, enclave, terms.bond);
            m.deadline = uint64(_time + record.approveWithin);
            bytes32 offerId = records.offerId(domain(), terms);
            step(id, 2, records.matchPayload(offerId, processor, enclave, keccak256(EVIDENCE)));
        } catch {
            require(!good, "a good match was refused");
        }
    }

    function approveOrReject(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        bool good = _time <= m.deadline;
        if (seed % 4 != 0) {
            bytes memory secret = release(_keys[m.owner], id, enclave, SEALED);
            direct(m.owner);
            try pox.approve(id, enclave, secret) {
                require(good, "a late approval was accepted");
                m.phase = I.Phase.Approved;
                m.deadline = uint64(_time + abi.decode(_requests[id], (I.Request)).proveWithin);
                step(id, 4, records.approvePayload(enclave, keccak256(secret)));
            } catch {
                require(!good, "a good approval was refused");
            }
        } else {
            vm.prank(m.owner);
            try pox.reject(abi.decode(_requests[id], (I.Request)), uint8(seed >> 8)) {
                require(good, "a late rejection was accepted");
                credited[m.processor] += m.bond;
                (m.phase, m.processor, m.enclave, m.bond) = (I.Phase.Requested, address(0), address(0), 0);
                m.deadline = 0;
                step(id, 3, records.rejectPayload(m.owner, uint8(seed >> 8)));
            } catch {
                require(!good, "a good rejection was refused");
            }
        }
    }

    function prove(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        I.Receipt memory receipt = receiptOf(id, uint8(seed % 72));
        bool good = _time <= m.deadline && receipt.outcome < 64;
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        vm.prank(actor(seed >> 8));
        try pox.prove(receipt, ARCHIVE, signature) {
            require(good, "a bad receipt was accepted");
            credited[receipt.outcome < 32 ? m.processor : m.owner] += m.price;
            credited[receipt.outcome < 48 ? m.processor : m.owner] += m.bond;
            end(id, I.Phase.Proven, 5, signed(receipt, ARCHIVE));
        } catch {
            require(!good, "a good receipt was refused");
        }
    }

    function cancel(bytes32 id) private {
        State storage m = _models[id];
        bool good = m.phase == I.Phase.Requested;
        vm.prank(m.owner);
        try pox.cancel(id) {
            require(good, "a bad cancel was accepted");
            credited[m.owner] += m.price;
            end(id, I.Phase.Cancelled, 6, 0);
        } catch {
            require(!good, "a good cancel was refused");
        }
    }

    function expire(bytes32 id, address sender) private {
        State storage m = _models[id];
        I.Request memory record = abi.decode(_requests[id], (I.Request));
        uint256 deadline = m.phase == I.Phase.Requested ? record.matchBy : m.deadline;
        bool good = uint256(m.phase) <= uint256(I.Phase.Approved) && _time > deadline;
        vm.prank(sender);
        try pox.expire(record) {
            require(good, "a bad expiry was accepted");
            credited[m.owner] += m.price;
            credited[m.phase == I.Phase.Approved ? m.owner : m.processor] += m.bond;
            end(id, I.Phase.Expired, 7, 0);
        } catch {
            require(!good, "a good expiry was refused");
        }
    }

    function end(bytes32 id, I.Phase phase, uint256 code, bytes32 payload) private {
        State storage m = _models[id];
        (m.phase, m.processor, m.enclave) = (phase, address(0), address(0));
        (m.price, m.bond, m.deadline) = (0, 0, 0);
        step(id, code, payload);
    }

    function step(bytes32 id, uint256 code, bytes32 payload) private {
        _models[id].history = keccak256(abi.encode(_models[id].history, code, payload, _number, _time));
        ++taken[code];
    }

    function offerOf(address processor) private pure returns (I.Offer memory terms) {
        terms = anOffer();
        terms.processor = processor;
        terms.validUntil = type(uint64).max;
        terms.bond = uint160(processor) % 2 == 0 ? 0 : 500;
    }

    function receiptOf(bytes32 id, uint8 outcome) private view returns (I.Receipt memory receipt) {
        receipt = aReceipt(id);
        receipt.outcome = outcome;
    }
}
