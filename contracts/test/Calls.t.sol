// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Every row of the table in spec §4: what each call leaves in storage, money and events.
contract CallsTest is Base {
    function test_request() public {
        I.Request memory record = aRequest();
        bytes32 id = idOf(record);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Requested(id, OWNER, record.image, record);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Uses(record.inputs[0], id);
        same(request(record), id, "returns the id");

        State memory s = stateOf(id);
        same(s.phase, I.Phase.Requested, "phase");
        same(s.owner, OWNER, "owner");
        same(s.processor, address(0), "processor");
        same(s.enclave, address(0), "enclave");
        same(s.price, record.price, "price");
        same(s.bond, 0, "bond");
        same(s.deadline, 0, "deadline");
        same(s.history, records.extend(0, 1, id, 1_000, START), "history");
        same(address(pox).balance, record.price, "escrow");
    }

    function test_requestWithoutInputsOrPrice() public {
        I.Request memory record = aRequest();
        record.inputs = new bytes32[](0);
        record.price = 0;
        bytes32 id = request(record);
        same(stateOf(id).phase, I.Phase.Requested, "phase");
        vm.prank(OWNER);
        pox.cancel(id);
        same(pox.credit(OWNER), 0, "nothing owed");
    }

    function test_offerThenWithdraw() public {
        I.Offer memory terms = anOffer();
        bytes32 id = records.offerId(domain(), terms);
        check(pox.isOpen(id), "open before anybody tells of it");
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Offered(id, PROCESSOR, terms);
        same(offer(terms), id, "returns the id");
        check(pox.isOpen(id), "open");
        same(vm.load(address(pox), keccak256(abi.encode(id, uint256(1)))), 0, "nothing is stored");

        vm.expectEmit(true, true, true, true, address(pox));
        emit I.OfferWithdrawn(id, PROCESSOR);
        vm.prank(PROCESSOR);
        pox.withdrawOffer(terms);
        check(!pox.isOpen(id), "withdrawn");
    }

    /// @dev Its processor alone can match with an offer, so it need not be posted.
    function test_matchWithAnOfferThatWasNotPosted() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = request(record);
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        same(stateOf(id).phase, I.Phase.Matched, "matched");
    }

    function test_match() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = request(record);
        bytes32 offerId = offer(terms);
        bytes32 before = stateOf(id).history;
        vm.warp(START + 10);
        vm.roll(1_001);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Matched(id, offerId, PROCESSOR, enclave, keccak256(EVIDENCE), terms.bond);
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);

        State memory s = stateOf(id);
        same(s.phase, I.Phase.Matched, "phase");
        same(s.owner, OWNER, "owner");
        same(s.processor, PROCESSOR, "processor");
        same(s.enclave, enclave, "enclave");
        same(s.price, record.price, "price");
        same(s.bond, terms.bond, "bond");
        same(s.deadline, START + 10 + record.approveWithin, "deadline");
        bytes32 payload = records.matchPayload(offerId, PROCESSOR, enclave, keccak256(EVIDENCE));
        same(s.history, records.extend(before, 2, payload, 1_001, START + 10), "history");
        same(address(pox).balance, record.price + terms.bond, "escrow");
    }

    function test_oneOfferServesManyTasks() public {
        I.Request memory record = aRequest();
        matched(record, anOffer());
        record.salt = "second";
        same(stateOf(matched(record, anOffer())).phase, I.Phase.Matched, "second task");
    }

    function test_rejectThenMatchAgain() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = matched(record, terms);
        bytes32 before = stateOf(id).history;
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Rejected(id, PROCESSOR, OWNER, enclave, 7);
        vm.prank(OWNER);
        pox.reject(record, enclave, 7);

        State memory s = stateOf(id);
        same(s.phase, I.Phase.Requested, "phase");
        same(s.owner, OWNER, "owner");
        same(s.processor, address(0), "processor");
        same(s.enclave, address(0), "enclave");
        same(s.price, record.price, "price stays");
        same(s.bond, 0, "bond");
        same(s.deadline, 0, "deadline");
        same(s.history, records.extend(before, 3, records.rejectPayload(OWNER, 7), 1_000, START), "history");
        same(pox.credit(PROCESSOR), terms.bond, "bond back");

        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        same(stateOf(id).phase, I.Phase.Matched, "matched again");
    }

    function test_approve() public {
        I.Request memory record = aRequest();
        bytes32 id = matched(record, anOffer());
        bytes32 before = stateOf(id).history;
        bytes memory secret = secretFor(id, enclave);
        vm.warp(START + 20);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Approved(id, enclave, keccak256(secret));
        direct(OWNER);
        pox.approve(id, enclave, secret);

        State memory s = stateOf(id);
        same(s.phase, I.Phase.Approved, "phase");
        same(s.deadline, START + 20 + record.proveWithin, "deadline");
        same(s.processor, PROCESSOR, "processor");
        same(s.enclave, enclave, "enclave");
        same(s.price, record.price, "price");
        same(s.bond, anOffer().bond, "bond");
        bytes32 payload = records.approvePayload(enclave, keccak256(secret));
        same(s.history, records.extend(before, 4, payload, 1_000, START + 20), "history");
    }

    function test_prove() public {
        bytes32 id = approved(aRequest(), anOffer());
        State memory before = stateOf(id);
        I.Receipt memory receipt = aReceipt(id);
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Proven(id, PROCESSOR, receipt.results, receipt, ARCHIVE);
        vm.prank(OTHER);
        pox.prove(receipt, ARCHIVE, signature);

        checkEnded(id, I.Phase.Proven);
        same(stateOf(id).history, records.extend(before.history, 5, signed(receipt, ARCHIVE), 1_000, START), "history");
    }

    function test_proveSettlesByOutcome() public {
        (uint256 price, uint256 bond) = (aRequest().price, anOffer().bond);
        for (uint256 outcome = 0; outcome < 64; ++outcome) {
            uint256 snapshot = vm.snapshotState();
            proven(uint8(outcome));
            uint256 toProcessor = (outcome < 32 ? price : 0) + (outcome < 48 ? bond : 0);
            same(pox.credit(PROCESSOR), toProcessor, "processor");
            same(pox.credit(OWNER), price + bond - toProcessor, "owner");
            vm.revertToState(snapshot);
        }
    }

    function test_cancel() public {
        bytes32 id = request(aRequest());
        bytes32 before = stateOf(id).history;
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Cancelled(id);
        vm.prank(OWNER);
        pox.cancel(id);
        checkEnded(id, I.Phase.Cancelled);
        same(stateOf(id).history, records.extend(before, 6, 0, 1_000, START), "history");
        same(pox.credit(OWNER), aRequest().price, "price back");
    }

    function test_cancelAfterMatchBy() public {
        bytes32 id = request(aRequest());
        vm.warp(START + 400 days);
        vm.prank(OWNER);
        pox.cancel(id);
        same(stateOf(id).phase, I.Phase.Cancelled, "phase");
    }

    function test_expireRequested() public {
        request(aRequest());
        checkExpire(I.Phase.Requested, aRequest().matchBy, aRequest().price, 0);
    }

    function test_expireMatched() public {
        uint256 deadline = stateOf(matched(aRequest(), anOffer())).deadline;
        checkExpire(I.Phase.Matched, deadline, aRequest().price, anOffer().bond);
    }

    function test_expireApproved() public {
        uint256 deadline = stateOf(approved(aRequest(), anOffer())).deadline;
        checkExpire(I.Phase.Approved, deadline, uint256(aRequest().price) + anOffer().bond, 0);
    }

    function test_expireAfterReject() public {
        matched(aRequest(), anOffer());
        vm.prank(OWNER);
        pox.reject(aRequest(), enclave, 7);
        vm.prank(PROCESSOR);
        pox.withdraw();
        checkExpire(I.Phase.Requested, aRequest().matchBy, aRequest().price, 0);
    }

    function test_withdraw() public {
        proven(0);
        uint256 owed = pox.credit(PROCESSOR);
        uint256 before = PROCESSOR.balance;
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Withdrawn(PROCESSOR, owed);
        vm.prank(PROCESSOR);
        pox.withdraw();
        same(PROCESSOR.balance, before + owed, "paid");
        same(pox.credit(PROCESSOR), 0, "credit");
        same(address(pox).balance, 0, "contract");
    }

    function test_unknownTaskIsNone() public view {
        State memory s = stateOf(keccak256("nothing"));
        same(keccak256(abi.encode(s)), keccak256(new bytes(320)), "all zero");
    }

    /// @dev The bytes of spec §5.3, read as a state proof would.
    function test_storageLayout() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = request(record);
        bytes32 escrow = bytes32(abi.encodePacked(record.price, OWNER));
        checkWords(id, escrow, 0, 0);

        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        bytes32 pledge = bytes32(abi.encodePacked(terms.bond, PROCESSOR));
        uint40 deadline = uint40(START + record.approveWithin);
        bytes32 run = bytes32(abi.encodePacked(uint16(0), record.proveWithin, deadline, I.Phase.Matched, enclave));
        checkWords(id, escrow, run, pledge);

        bytes memory secret = secretFor(id, enclave);
        direct(OWNER);
        pox.approve(id, enclave, secret);
        deadline = uint40(START + record.proveWithin);
        run = bytes32(abi.encodePacked(uint16(0), record.proveWithin, deadline, I.Phase.Approved, enclave));
        checkWords(id, escrow, run, pledge);

        vm.warp(uint256(deadline) + 1);
        pox.expire(record);
        escrow = bytes32(abi.encodePacked(bytes1(0x80), uint80(0), I.Phase.Expired, OWNER));
        checkWords(id, escrow, 0, 0);
    }

    function test_storageAfterReject() public {
        bytes32 id = matched(aRequest(), anOffer());
        vm.prank(OWNER);
        pox.reject(aRequest(), enclave, 7);
        checkWords(id, bytes32(abi.encodePacked(aRequest().price, OWNER)), 0, 0);
    }

    function checkWords(bytes32 id, bytes32 escrow, bytes32 run, bytes32 pledge) private view {
        uint256 base = uint256(keccak256(abi.encode(id, uint256(0))));
        same(vm.load(address(pox), bytes32(base)), escrow, "escrow");
        same(vm.load(address(pox), bytes32(base + 1)), run, "run");
        same(vm.load(address(pox), bytes32(base + 2)), pledge, "pledge");
        same(vm.load(address(pox), bytes32(base + 3)), stateOf(id).history, "history");
    }

    function checkExpire(I.Phase from, uint256 deadline, uint256 toOwner, uint256 toProcessor) private {
        I.Request memory record = aRequest();
        bytes32 id = idOf(record);
        State memory before = stateOf(id);
        vm.warp(deadline);
        expectError(I.TooEarly.selector, deadline);
        pox.expire(record);
        vm.warp(deadline + 1);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Expired(id, from);
        vm.prank(OTHER);
        pox.expire(record);
        checkEnded(id, I.Phase.Expired);
        same(stateOf(id).history, records.extend(before.history, 7, 0, 1_000, block.timestamp), "history");
        same(pox.credit(OWNER), toOwner, "owner");
        same(pox.credit(PROCESSOR), toProcessor, "processor");
    }

    function checkEnded(bytes32 id, I.Phase phase) private view {
        State memory s = stateOf(id);
        same(s.phase, phase, "phase");
        same(s.owner, OWNER, "owner stays");
        same(s.deadline, 0, "deadline");
        same(s.processor, address(0), "processor");
        same(s.enclave, address(0), "enclave");
        same(s.price, 0, "price");
        same(s.bond, 0, "bond");
    }
}
