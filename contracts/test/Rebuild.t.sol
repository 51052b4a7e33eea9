// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";
import {Walker} from "./Walker.sol";

/// @notice Events suffice: whoever reads nothing but the contract's logs, with their blocks' numbers and times, knows its whole
/// state. A random walk is rebuilt so, and compared with views, and with storage word by word.
contract RebuildTest is Base {
    Walker private walker;
    bytes32 private separator;

    bytes32[] private _ids;
    mapping(bytes32 id => bytes record) private _requests;
    mapping(bytes32 id => State state) private _states;
    mapping(address account => uint256 wei_) private _credits;
    mapping(bytes32 offer => bool withdrawn) private _withdrawn;
    bytes32[] private _offers;
    uint256 private _balance;
    /// @dev What a Members event after a Proven replaces: the history before it, and the receipt and archive.
    bytes32 private _before;
    bytes32 private _receipt;
    bytes32 private _archive;

    function setUp() public override {
        walker = new Walker();
        walker.setUp();
        pox = walker.target();
        records = walker.harness();
        separator = records.domain(CHAIN_ID, address(pox));
    }

    /// forge-config: default.fuzz.runs = 96
    function testFuzz_eventsSuffice(uint256 seed) public {
        vm.recordLogs();
        for (uint256 step = 0; step < 48; ++step) {
            uint256 s = uint256(keccak256(abi.encode(seed, step)));
            if (s % 12 < 3) walker.post(s >> 8, s >> 16);
            else if (s % 12 < 8) walker.move(s >> 8, s >> 16);
            else if (s % 12 == 8) walker.giveUp(s >> 8, s >> 16);
            else if (s % 12 == 9) walker.withdraw(s >> 8);
            else if (s % 12 == 10) walker.trade(s >> 8);
            else walker.pass(s >> 8);
            read(vm.getRecordedLogs());
        }
        compare();
        walker.endByTime();
        read(vm.getRecordedLogs());
        compare();
        same(_balance, 0, "all of it went out");
    }

    /// @dev As an indexer: one log after the other, nothing asked of the contract.
    function read(Vm.Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(pox)) apply_(logs[i].topics, logs[i].data);
        }
    }

    function apply_(bytes32[] memory topics, bytes memory data) private {
        bytes32 kind = topics[0];
        bytes32 id = topics[1];
        State storage s = _states[id];
        if (kind == I.Requested.selector) {
            I.Request memory record = abi.decode(data, (I.Request));
            _ids.push(id);
            _requests[id] = abi.encode(record);
            (s.phase, s.owner, s.price) = (I.Phase.Requested, toAddress(topics[2]), record.price);
            _balance += record.price;
            extend(s, 1, id);
        } else if (kind == I.Sponsored.selector) {
            s.sponsor = toAddress(topics[2]);
        } else if (kind == I.Matched.selector) {
            (address enclave_, bytes32 evidence, uint96 bond) = abi.decode(data, (address, bytes32, uint96));
            I.Request memory record = abi.decode(_requests[id], (I.Request));
            (s.phase, s.processor, s.enclave, s.bond) = (I.Phase.Matched, toAddress(topics[3]), enclave_, bond);
            s.deadline = uint64(block.timestamp + record.approveWithin);
            uint256 others = record.coOwners.length;
            if (others != 0 || record.delegate != address(0)) s.missing = uint8((2 << others) - 1);
            _balance += bond;
            extend(s, 2, records.matchPayload(topics[2], s.processor, enclave_, evidence));
        } else if (kind == I.Rejected.selector) {
            _credits[s.processor] += s.bond;
            (address enclave_, uint8 reason) = abi.decode(data, (address, uint8));
            same(enclave_, s.enclave, "the matched enclave");
            extend(s, 3, records.rejectPayload(toAddress(topics[3]), reason));
            (s.phase, s.processor, s.enclave, s.bond) = (I.Phase.Requested, address(0), address(0), 0);
            (s.deadline, s.missing) = (0, 0);
        } else if (kind == I.Approved.selector) {
            approve(id, s);
            extend(s, 4, records.approvePayload(s.enclave, abi.decode(data, (bytes32))));
        } else if (kind == I.Released.selector) {
            (bytes32 secret, uint8 missing) = abi.decode(data, (bytes32, uint8));
            s.missing = missing;
            if (missing == 0) approve(id, s);
            extend(s, 8, records.releasePayload(toAddress(topics[2]), s.enclave, secret));
        } else if (kind == I.Proven.selector) {
            settle(s, data);
        } else if (kind == I.Members.selector) {
            (bytes32 members, uint16 count) = abi.decode(data, (bytes32, uint16));
            s.history = _before;
            extend(s, 9, records.archivedBatchId(separator, _receipt, _archive, members, count));
        } else {
            applyRest(kind, id, s, topics, data);
        }
    }

    function applyRest(bytes32 kind, bytes32 id, State storage s, bytes32[] memory topics, bytes memory data) private {
        if (kind == I.Cancelled.selector) {
            _credits[payer(s)] += s.price;
            end(s, I.Phase.Cancelled);
            extend(s, 6, 0);
        } else if (kind == I.Expired.selector) {
            I.Phase from = abi.decode(data, (I.Phase));
            same(from, s.phase, "the phase before");
            _credits[payer(s)] += s.price;
            _credits[from == I.Phase.Approved ? s.owner : s.processor] += s.bond;
            end(s, I.Phase.Expired);
            extend(s, 7, 0);
        } else if (kind == I.Withdrawn.selector) {
            address account = toAddress(topics[1]);
            uint256 amount = abi.decode(data, (uint256));
            same(amount, _credits[account], "the whole credit");
            (_credits[account], _balance) = (0, _balance - amount);
        } else if (kind == I.Offered.selector) {
            _offers.push(id);
        } else if (kind == I.OfferWithdrawn.selector) {
            _offers.push(id);
            _withdrawn[id] = true;
        } else {
            check(kind == I.Uses.selector, "an event that nobody has heard of");
        }
    }

    function settle(State storage s, bytes memory data) private {
        (I.Receipt memory receipt, bytes32 archive) = abi.decode(data, (I.Receipt, bytes32));
        _credits[receipt.outcome < 32 ? s.processor : payer(s)] += s.price;
        _credits[receipt.outcome < 48 ? s.processor : s.owner] += s.bond;
        end(s, I.Phase.Proven);
        (_before, _receipt, _archive) = (s.history, records.receiptId(separator, receipt), archive);
        extend(s, 5, records.archivedReceiptId(separator, _receipt, archive));
    }

    function approve(bytes32 id, State storage s) private {
        s.phase = I.Phase.Approved;
        s.deadline = uint64(block.timestamp + abi.decode(_requests[id], (I.Request)).proveWithin);
    }

    function end(State storage s, I.Phase phase) private {
        (s.phase, s.processor, s.enclave, s.sponsor) = (phase, address(0), address(0), address(0));
        (s.price, s.bond, s.deadline, s.missing) = (0, 0, 0, 0);
    }

    function payer(State storage s) private view returns (address) {
        return s.sponsor == address(0) ? s.owner : s.sponsor;
    }

    function extend(State storage s, uint256 code, bytes32 payload) private {
        s.history = records.extend(s.history, code, payload, block.number, block.timestamp);
    }

    function compare() private view {
        same(_ids.length, walker.tasks(), "every task was seen");
        for (uint256 i = 0; i < _ids.length; ++i) {
            State memory s = _states[_ids[i]];
            same(keccak256(abi.encode(s)), keccak256(abi.encode(stateOf(_ids[i]))), "view");
            compareStorage(_ids[i], s);
        }
        for (uint256 i = 0; i < walker.ACTORS(); ++i) {
            address account = walker.actor(i);
            same(_credits[account], pox.credit(account), "credit");
            same(
                bytes32(_credits[account]), vm.load(address(pox), slotOf(bytes32(uint256(uint160(account))), 2)), "credit word"
            );
        }
        for (uint256 i = 0; i < _offers.length; ++i) {
            check(pox.isOpen(_offers[i]) != _withdrawn[_offers[i]], "offer");
        }
        same(_balance, address(pox).balance, "balance");
    }

    /// @dev The layout of spec §5.3, from what events said alone.
    function compareStorage(bytes32 id, State memory s) private view {
        uint256 base = uint256(slotOf(id, 0));
        bool ended = s.phase > I.Phase.Approved;
        uint256 escrow = uint256(s.price) << 160 | uint160(s.owner);
        if (ended) escrow |= 1 << 255 | uint256(s.phase) << 160;
        if (s.sponsor != address(0)) escrow |= 1 << 254;
        uint256 run = 0;
        if (s.phase == I.Phase.Matched || s.phase == I.Phase.Approved) {
            run = uint256(s.missing) << 240 | uint256(abi.decode(_requests[id], (I.Request)).proveWithin) << 208
                | uint256(s.deadline) << 168 | uint256(s.phase) << 160 | uint160(s.enclave);
        }
        uint256 pledge = uint256(s.bond) << 160 | uint160(s.processor);
        same(vm.load(address(pox), bytes32(base)), bytes32(escrow), "escrow word");
        same(vm.load(address(pox), bytes32(base + 1)), bytes32(run), "run word");
        same(vm.load(address(pox), bytes32(base + 2)), bytes32(pledge), "pledge word");
        same(vm.load(address(pox), bytes32(base + 3)), s.history, "history word");
        same(vm.load(address(pox), bytes32(base + 4)), bytes32(uint256(uint160(s.sponsor))), "sponsor word");
        same(vm.load(address(pox), bytes32(base + 5)), bytes32(0), "nothing behind it");
    }

    function slotOf(bytes32 key, uint256 mapping_) private pure returns (bytes32) {
        return keccak256(abi.encode(key, mapping_));
    }

    function toAddress(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }
}
