// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Greedy, Wallet} from "./Actors.sol";
import {Base} from "./Base.sol";
import {IRecords} from "./IRecords.sol";

/// @notice Several accounts walk through several tasks by every call, most steps honest and some not, beside a model of what spec
/// §4 says of each. Some accounts are contracts: one signs by its code and refuses coins for a while, one tries to take more.
contract Walker is Base {
    uint256 private constant KEYED = 5;
    uint256 public constant ACTORS = KEYED + 2;
    uint256 private constant MAX_TASKS = 12;
    uint256 private constant FIRST_KEY = 0xac7000;
    uint256 private constant WALLET_KEY = 0xac8000;

    Wallet private _wallet;
    Greedy private _greedy;
    address[] private _actors;
    mapping(address account => uint256 key) private _keys;
    mapping(address account => uint256 wei_) public credited;
    mapping(uint256 step => uint256 times) public taken;
    bytes32[] private _ids;
    uint256 private _posted;
    mapping(bytes32 id => bytes record) private _requests;
    mapping(bytes32 id => State state) private _models;
    mapping(bytes32 id => uint256 count) private _launches;
    /// @dev Calls that were accepted once, to be tried again.
    bytes[] private _accepted;
    uint256 private _time;
    uint256 private _number;

    function setUp() public override {
        super.setUp();
        (_time, _number) = (START, 1_000);
        _wallet = new Wallet(vm.addr(WALLET_KEY));
        _greedy = new Greedy(pox);
        for (uint256 i = 0; i < KEYED; ++i) {
            address account = vm.addr(FIRST_KEY + i);
            _keys[account] = FIRST_KEY + i;
            // In ascending order, as co-owners have to be.
            uint256 place = _actors.length;
            _actors.push(account);
            for (; place > 0 && _actors[place - 1] > account; --place) {
                _actors[place] = _actors[place - 1];
            }
            _actors[place] = account;
        }
        _actors.push(address(_wallet));
        _keys[address(_wallet)] = WALLET_KEY;
        _actors.push(address(_greedy));
        for (uint256 i = 0; i < ACTORS; ++i) {
            vm.deal(_actors[i], 1_000 ether);
        }
    }

    function target() external view returns (I) {
        return pox;
    }

    function harness() external view returns (IRecords) {
        return records;
    }

    function greedy() external view returns (Greedy) {
        return _greedy;
    }

    function tasks() external view returns (uint256) {
        return _ids.length;
    }

    function taskAt(uint256 index) external view returns (bytes32) {
        return _ids[index];
    }

    function requestOf(bytes32 id) public view returns (I.Request memory) {
        return abi.decode(_requests[id], (I.Request));
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

    /// @dev A new request: with or without a price, a sponsor, a delegate, co-owners, a processor or a list of them.
    function post(uint256 seed, uint256 who) public {
        if (_ids.length == MAX_TASKS) return;
        I.Request memory record = aRequest();
        record.owner = actor(who);
        record.price = seed % 5 == 0 ? 0 : uint96(3_600 + seed % 1 ether);
        record.matchBy = uint64(_time + seed % 50_000);
        record.salt = bytes32(++_posted);
        if ((seed >> 8) % 4 == 0) record.processors = bytes32(uint256(uint160(actor(seed >> 16))));
        if ((seed >> 8) % 4 == 1) record.processors = listRoot();
        // A contract has no key to sign a release with.
        bool mustDelegate = record.owner.code.length != 0;
        if (mustDelegate || (seed >> 24) % 4 == 0) {
            record.delegate = _actors[(seed >> 32) % KEYED];
            if (record.delegate == record.owner) record.delegate = address(0);
        }
        record.coOwners = coOwnersOf(record, seed >> 40);
        if (record.coOwners.length != 0) record.inputs = new bytes32[](record.coOwners.length);
        for (uint256 i = 0; i < record.inputs.length; ++i) {
            record.inputs[i] = bytes32(1 + i);
        }
        bytes32 id = idOf(record);
        address sponsor = address(0);
        if ((seed >> 48) % 3 == 0 && _keys[record.owner] != 0) {
            sponsor = actor(seed >> 56);
            send(sponsor, record.price, abi.encodeCall(I.requestFor, (record, signature(_keys[record.owner], id))), "sponsor");
        } else {
            send(record.owner, record.price, abi.encodeCall(I.request, (record)), "request");
        }
        _ids.push(id);
        _requests[id] = abi.encode(record);
        State storage m = _models[id];
        (m.phase, m.owner, m.price, m.sponsor) = (I.Phase.Requested, record.owner, record.price, sponsor);
        step(id, 1, id);
    }

    /// @dev The next step of a task, by the party whose turn it is.
    function move(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        I.Phase phase = _models[id].phase;
        if (phase == I.Phase.Requested) matchBy(id, actor(seed));
        else if (phase == I.Phase.Matched && seed % 5 == 0) reject(id, seed >> 8);
        else if (phase == I.Phase.Matched) release(id, seed >> 8);
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

    /// @dev A task is given up: cancelled by its owner or by its owner's signature, or expired by anyone.
    function giveUp(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        if (seed % 2 == 0) cancel(id, seed >> 8);
        else expire(id, actor(seed >> 8));
    }

    function withdraw(uint256 who) public {
        address account = actor(who);
        (uint256 before, uint256 owed) = (account.balance, credited[account]);
        bool good = owed != 0 && !(account == address(_wallet) && _wallet.refuses());
        // What the greedy one tries when it is paid: something that was accepted before.
        if (_accepted.length != 0) _greedy.plan(_accepted[who % _accepted.length]);
        bool accepted = attempt(account, 0, abi.encodeCall(I.withdraw, ()));
        require(accepted == good, good ? "a credit was refused" : "paid what is not owed");
        require(account.balance == (accepted ? before + owed : before), "paid another amount");
        if (accepted) credited[account] = 0;
    }

    /// @dev An offer is advertised, or withdrawn; once withdrawn it is for good.
    function trade(uint256 seed) public {
        address account = actor(seed);
        I.Offer memory terms = offerOf(account);
        terms.salt = bytes32((seed >> 8) % 4);
        if ((seed >> 16) % 2 == 0) {
            send(account, 0, abi.encodeCall(I.offer, (terms)), "offer");
        } else {
            bool open = pox.isOpen(records.offerId(domain(), terms));
            expectAttempt(account, 0, abi.encodeCall(I.withdrawOffer, (terms)), open);
        }
    }

    /// @dev The institution's account refuses coins, or takes them again.
    function moody(bool refuses) public {
        _wallet.refuse(refuses);
    }

    /// @dev Somebody tries a call that is not theirs to make, on a task in any phase. It must not be accepted.
    function lie(uint256 seed, uint256 which) public {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        (address liar, bytes memory call, uint256 value) = lieOf(id, seed);
        if (liar == address(0)) return;
        prankAs(liar);
        (bool accepted,) = address(pox).call{value: value}(call);
        require(!accepted, "accepted a call by the wrong party");
    }

    /// @dev Something that was accepted is tried again by anyone: a signature serves once.
    function replay(uint256 seed) public {
        if (_accepted.length == 0) return;
        bytes memory call = _accepted[seed % _accepted.length];
        address liar = actor(seed >> 8);
        prankAs(liar);
        (bool accepted,) = address(pox).call(call);
        require(!accepted, "accepted twice");
    }

    /// @dev A new set of tasks.
    function begin() external {
        delete _ids;
    }

    /// @dev Every deadline passes; anyone expires what is open, and each account withdraws.
    function endByTime() external {
        _time += 800 days;
        vm.warp(_time);
        for (uint256 i = 0; i < _ids.length; ++i) {
            if (isLive(_models[_ids[i]].phase)) expire(_ids[i], OTHER);
            require(!isLive(_models[_ids[i]].phase), "a task without an end");
        }
        moody(false);
        for (uint256 i = 0; i < ACTORS; ++i) {
            withdraw(i);
        }
    }

    function matchBy(bytes32 id, address processor) private {
        I.Request memory record = requestOf(id);
        I.Offer memory terms = offerOf(processor);
        ++_launches[id];
        address enclave_ = vm.addr(enclaveKey(id));
        bool listed = record.processors == listRoot();
        bool allowed = record.processors == 0 || record.processors == bytes32(uint256(uint160(processor)))
            || (listed && isOnList(processor));
        bool good = _time <= record.matchBy && allowed && record.price >= uint256(terms.pricePerSecond) * record.timeLimit;
        bytes memory call = listed
            ? abi.encodeCall(I.matchListed, (record, terms, enclave_, EVIDENCE, pathOf(processor)))
            : abi.encodeCall(I.matchTask, (record, terms, enclave_, EVIDENCE));
        if (!expectAttempt(processor, terms.bond, call, good)) return;
        State storage m = _models[id];
        (m.phase, m.processor, m.enclave, m.bond) = (I.Phase.Matched, processor, enclave_, terms.bond);
        m.deadline = uint64(_time + record.approveWithin);
        bool alone = record.delegate == address(0) && record.coOwners.length == 0;
        m.missing = alone ? 0 : uint8((2 << record.coOwners.length) - 1);
        step(id, 2, records.matchPayload(records.offerId(domain(), terms), processor, enclave_, keccak256(EVIDENCE)));
    }

    /// @dev One party's secret, by `approve` if the owner is alone and signs itself. Any account with a key relays it.
    function release(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        I.Request memory record = requestOf(id);
        address relay = _actors[seed % KEYED];
        bool good = _time <= m.deadline;
        if (m.missing == 0) {
            bytes memory secret = release(_keys[m.owner], id, m.enclave, SEALED);
            bytes memory call = abi.encodeCall(I.approve, (id, m.enclave, secret));
            if (!expectAttempt(relay, 0, call, good && _keys[m.owner] != 0 && m.owner != address(_wallet))) return;
            approved(m, record);
            step(id, 4, records.approvePayload(m.enclave, keccak256(secret)));
        } else {
            uint8 party = uint8((seed >> 8) % (1 + record.coOwners.length));
            bytes memory secret = release(keyOf(record, party), id, m.enclave, SEALED);
            bytes memory call = abi.encodeCall(I.release, (record, party, m.enclave, secret));
            if (!expectAttempt(relay, 0, call, good && (m.missing >> party) & 1 == 1)) return;
            m.missing ^= uint8(1 << party);
            if (m.missing == 0) approved(m, record);
            step(id, 8, records.releasePayload(accountOf(record, party), m.enclave, keccak256(secret)));
            _accepted.push(call);
        }
    }

    function approved(State storage m, I.Request memory record) private {
        m.phase = I.Phase.Approved;
        m.deadline = uint64(_time + record.proveWithin);
    }

    function reject(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        I.Request memory record = requestOf(id);
        uint8 reason = uint8(seed >> 8);
        uint8 party = uint8((seed >> 16) % (1 + record.coOwners.length));
        bytes memory call = abi.encodeCall(I.reject, (record, m.enclave, reason));
        address sender = signerOf(record, party);
        if (seed % 2 == 0 && keyOf(record, party) != 0) {
            bytes32 digest = records.refusalId(domain(), id, m.enclave, reason);
            call = abi.encodeCall(I.rejectFor, (record, party, m.enclave, reason, signature(keyOf(record, party), digest)));
            sender = actor(seed >> 24);
        }
        if (!expectAttempt(sender, 0, call, _time <= m.deadline)) return;
        credited[m.processor] += m.bond;
        (m.phase, m.processor, m.enclave, m.bond) = (I.Phase.Requested, address(0), address(0), 0);
        (m.deadline, m.missing) = (0, 0);
        step(id, 3, records.rejectPayload(accountOf(record, party), reason));
    }

    function prove(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        I.Receipt memory receipt = receiptOf(id, uint8(seed % 72));
        bytes32 payload = signed(receipt, ARCHIVE);
        bytes memory call = abi.encodeCall(I.prove, (receipt, ARCHIVE, signature(enclaveKey(id), payload)));
        bool many = (seed >> 16) % 3 == 0;
        if (many) (payload, call) = batch(id, receipt, seed >> 24);
        bool good = _time <= m.deadline && receipt.outcome < 64;
        if (!expectAttempt(actor(seed >> 8), 0, call, good)) return;
        credited[receipt.outcome < 32 ? m.processor : payerOf(m)] += m.price;
        credited[receipt.outcome < 48 ? m.processor : m.owner] += m.bond;
        end(id, I.Phase.Proven, many ? 9 : 5, payload);
        _accepted.push(call);
    }

    function batch(bytes32 id, I.Receipt memory receipt, uint256 seed)
        private
        view
        returns (bytes32 payload, bytes memory call)
    {
        (bytes32 members, uint16 count) = (keccak256(abi.encode(seed)), uint16(1 + seed % 65_535));
        payload = records.archivedBatchId(domain(), records.receiptId(domain(), receipt), ARCHIVE, members, count);
        call = abi.encodeCall(I.proveMany, (receipt, ARCHIVE, members, count, signature(enclaveKey(id), payload)));
    }

    function cancel(bytes32 id, uint256 seed) private {
        State storage m = _models[id];
        bytes memory call = abi.encodeCall(I.cancel, (id));
        address sender = m.owner;
        if (seed % 2 == 0 && _keys[m.owner] != 0) {
            call = abi.encodeCall(I.cancelFor, (id, signature(_keys[m.owner], records.cancellationId(domain(), id))));
            sender = actor(seed >> 8);
        }
        if (!expectAttempt(sender, 0, call, m.phase == I.Phase.Requested)) return;
        credited[payerOf(m)] += m.price;
        end(id, I.Phase.Cancelled, 6, 0);
        _accepted.push(call);
    }

    function expire(bytes32 id, address sender) private {
        State storage m = _models[id];
        I.Request memory record = requestOf(id);
        uint256 deadline = m.phase == I.Phase.Requested ? record.matchBy : m.deadline;
        bytes memory call = abi.encodeCall(I.expire, (record));
        if (!expectAttempt(sender, 0, call, isLive(m.phase) && _time > deadline)) return;
        credited[payerOf(m)] += m.price;
        credited[m.phase == I.Phase.Approved ? m.owner : m.processor] += m.bond;
        end(id, I.Phase.Expired, 7, 0);
        _accepted.push(call);
    }

    function end(bytes32 id, I.Phase phase, uint256 code, bytes32 payload) private {
        State storage m = _models[id];
        (m.phase, m.processor, m.enclave, m.sponsor) = (phase, address(0), address(0), address(0));
        (m.price, m.bond, m.deadline, m.missing) = (0, 0, 0, 0);
        step(id, code, payload);
    }

    function step(bytes32 id, uint256 code, bytes32 payload) private {
        _models[id].history = keccak256(abi.encode(_models[id].history, code, payload, _number, _time));
        ++taken[code];
    }

    /// @dev A call that has to be refused, by whom, and with how many wei; zero if the one who tries may do it.
    function lieOf(bytes32 id, uint256 seed) private view returns (address liar, bytes memory call, uint256 value) {
        State memory m = _models[id];
        I.Request memory record = requestOf(id);
        liar = actor(seed >> 8);
        uint256 key = FIRST_KEY + KEYED;
        uint256 kind = seed % 18;
        bool isParty = liar == m.owner || liar == record.delegate;
        for (uint256 i = 0; i < record.coOwners.length; ++i) {
            isParty = isParty || liar == record.coOwners[i].account;
        }
        if (kind == 0) (call, value) = (abi.encodeCall(I.request, (record)), record.price);
        if (kind == 1) (call, value) = (abi.encodeCall(I.requestFor, (record, signature(key, id))), record.price);
        if (kind == 2) call = abi.encodeCall(I.matchTask, (record, offerOf(actor(seed >> 16)), address(0), ""));
        if (kind == 3) call = abi.encodeCall(I.approve, (id, m.enclave, release(key, id, m.enclave, SEALED)));
        if (kind == 4) call = abi.encodeCall(I.prove, (receiptOf(id, 0), ARCHIVE, new bytes(65)));
        if (kind == 5 && !isParty) call = abi.encodeCall(I.reject, (record, m.enclave, 0));
        if (kind == 6 && liar != m.owner) call = abi.encodeCall(I.cancel, (id));
        // An offer of another account: the one after the liar.
        if (kind == 7) call = abi.encodeCall(I.offer, (offerOf(actor((seed >> 8) + 1))));
        if (kind == 8) (call, value) = (abi.encodeCall(I.cancel, (id)), 1);
        if (kind == 9) call = abi.encodeCall(I.withdrawOffer, (offerOf(actor((seed >> 8) + 1))));
        if (kind == 10) {
            call = abi.encodeCall(I.release, (record, uint8(seed >> 16) % 9, m.enclave, release(key, id, m.enclave, SEALED)));
        }
        if (kind == 11) {
            bytes32 digest = records.refusalId(domain(), id, m.enclave, 1);
            call = abi.encodeCall(I.rejectFor, (record, uint8(seed >> 16) % 9, m.enclave, 1, signature(key, digest)));
        }
        if (kind == 12) call = abi.encodeCall(I.cancelFor, (id, signature(key, records.cancellationId(domain(), id))));
        // A receipt that the task's enclave signed, as a batch that it did not.
        if (kind == 13 || kind == 14) {
            I.Receipt memory receipt = receiptOf(id, 0);
            bytes memory one = signature(enclaveKey(id), signed(receipt, ARCHIVE));
            if (kind == 13) call = abi.encodeCall(I.proveMany, (receipt, ARCHIVE, ARCHIVE, 1, one));
            else call = abi.encodeCall(I.prove, (receipt, keccak256("another"), one));
        }
        // A processor that the request does not let match.
        if (kind == 15) {
            bytes32[] memory path = pathOf(liar);
            bool listed = record.processors == listRoot();
            bool open = record.processors == 0 || record.processors == bytes32(uint256(uint160(liar)));
            I.Offer memory terms = offerOf(liar);
            value = terms.bond;
            if (listed && !isOnList(liar)) {
                call = abi.encodeCall(I.matchListed, (record, terms, m.owner, "", path));
            } else if (!listed) {
                call = abi.encodeCall(I.matchListed, (record, terms, m.owner, "", path));
            }
            if (!open && seed % 2 == 0) call = abi.encodeCall(I.matchTask, (record, terms, m.owner, ""));
        }
        // A secret from a contract's call would be hidden from the processor.
        if (kind == 16 && m.phase == I.Phase.Matched && m.missing == 0 && _keys[m.owner] != 0) {
            liar = address(_greedy);
            call = abi.encodeCall(I.approve, (id, m.enclave, release(_keys[m.owner], id, m.enclave, SEALED)));
        }
        // The right enclave's receipt of another task.
        if (kind == 17) {
            I.Receipt memory receipt = receiptOf(id, 0);
            receipt.task = _ids[(seed >> 16) % _ids.length];
            call = abi.encodeCall(I.prove, (receipt, ARCHIVE, signature(enclaveKey(id), signed(receipt, ARCHIVE))));
            if (receipt.task == id) call = "";
        }
        if (call.length == 0) liar = address(0);
    }

    function coOwnersOf(I.Request memory record, uint256 seed) private view returns (I.CoOwner[] memory coOwners) {
        uint256 chosen = seed % 3 == 0 ? (seed >> 8) % (1 << KEYED) : 0;
        coOwners = new I.CoOwner[](KEYED);
        uint256 count = 0;
        for (uint256 i = 0; i < KEYED; ++i) {
            address account = _actors[i];
            if ((chosen >> i) & 1 == 0 || account == record.owner || account == record.delegate) continue;
            coOwners[count] = I.CoOwner(account, uint32(1 << count));
            ++count;
        }
        assembly ("memory-safe") {
            mstore(coOwners, count)
        }
    }

    function send(address sender, uint256 value, bytes memory call, string memory what) private {
        require(attempt(sender, value, call), string.concat(what, " was refused"));
    }

    /// @dev Whether it was accepted, which has to be what the model says.
    function expectAttempt(address sender, uint256 value, bytes memory call, bool good) private returns (bool accepted) {
        accepted = attempt(sender, value, call);
        require(accepted || !good, "a good call was refused");
        require(!accepted || good, "a bad call was accepted");
    }

    function attempt(address sender, uint256 value, bytes memory call) private returns (bool accepted) {
        prankAs(sender);
        (accepted,) = address(pox).call{value: value}(call);
    }

    /// @dev A contract begins no transaction.
    function prankAs(address sender) private {
        vm.prank(sender, sender.code.length == 0 ? sender : OTHER);
    }

    /// @dev Each match has an enclave of its own.
    function enclaveKey(bytes32 id) private view returns (uint256) {
        return 0xe7c1a7e0000 + _launches[id] + (uint256(id) & 0xffffff);
    }

    function accountOf(I.Request memory record, uint8 party) private pure returns (address) {
        return party == 0 ? record.owner : record.coOwners[party - 1].account;
    }

    /// @dev Who signs for a party, and may reject by a call.
    function signerOf(I.Request memory record, uint8 party) private pure returns (address) {
        return party == 0 && record.delegate != address(0) ? record.delegate : accountOf(record, party);
    }

    function keyOf(I.Request memory record, uint8 party) private view returns (uint256) {
        return _keys[signerOf(record, party)];
    }

    function payerOf(State storage m) private view returns (address) {
        return m.sponsor == address(0) ? m.owner : m.sponsor;
    }

    function isLive(I.Phase phase) private pure returns (bool) {
        return phase == I.Phase.Requested || phase == I.Phase.Matched || phase == I.Phase.Approved;
    }

    /// @dev The list of the last two keyed accounts: its root, and the way to it.
    function listRoot() private view returns (bytes32) {
        return nodeOf(leafOf(_actors[KEYED - 1]), leafOf(_actors[KEYED - 2]));
    }

    function isOnList(address account) private view returns (bool) {
        return account == _actors[KEYED - 1] || account == _actors[KEYED - 2];
    }

    function pathOf(address account) private view returns (bytes32[] memory path) {
        path = new bytes32[](1);
        path[0] = leafOf(account == _actors[KEYED - 1] ? _actors[KEYED - 2] : _actors[KEYED - 1]);
    }

    function leafOf(address account) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), account));
    }

    function nodeOf(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(uint8(1), a, b)) : keccak256(abi.encodePacked(uint8(1), b, a));
    }

    function offerOf(address processor) private pure returns (I.Offer memory terms) {
        terms = anOffer();
        terms.processor = processor;
        terms.validUntil = type(uint64).max;
        terms.bond = uint160(processor) % 2 == 0 ? 0 : 500;
    }

    function receiptOf(bytes32 id, uint8 outcome) private view returns (I.Receipt memory receipt) {
        receipt = aReceipt(id);
        receipt.enclave = vm.addr(enclaveKey(id));
        receipt.outcome = outcome;
    }
}
