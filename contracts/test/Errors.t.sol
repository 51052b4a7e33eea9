// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Every error of spec §4, in the order in which the checks are made. Each test starts with a call that fails every
/// check it can, and repairs one fault a time: only the order of the specification gives this sequence of errors.
contract ErrorsTest is Base {
    function test_requestInOrder() public {
        I.Request memory record = aRequest();
        request(record);
        vm.deal(OWNER, 2 ** 96);
        record.price = 2 ** 94;
        record.image = 0;
        record.inputs = new bytes32[](33);
        record.terms = 0;
        record.policy = 0;
        record.kinds = 0;
        record.cpuMillis = 0;
        record.memoryMib = 0;
        record.diskMib = 0;
        record.timeLimit = 0;
        record.matchBy = uint64(START - 1);
        record.approveWithin = 0;
        record.proveWithin = 0;
        record.delegate = OWNER;
        record.coOwners = new I.CoOwner[](8);

        failRequest(record, OTHER, 0, abi.encodeWithSelector(I.NotYours.selector));
        badRequest(record, 2);
        record.price = aRequest().price;
        badRequest(record, 3);
        record.image = aRequest().image;
        badRequest(record, 4);
        record.inputs = new bytes32[](1);
        badRequest(record, 4);
        record.inputs = aRequest().inputs;
        badRequest(record, 5);
        record.terms = aRequest().terms;
        badRequest(record, 7);
        record.policy = aRequest().policy;
        badRequest(record, 8);
        record.kinds = aRequest().kinds;
        badRequest(record, 9);
        record.cpuMillis = aRequest().cpuMillis;
        badRequest(record, 10);
        record.memoryMib = aRequest().memoryMib;
        badRequest(record, 11);
        record.diskMib = aRequest().diskMib;
        badRequest(record, 12);
        record.timeLimit = 30 days + 1;
        badRequest(record, 12);
        record.timeLimit = aRequest().timeLimit;
        badRequest(record, 13);
        record.matchBy = uint64(START + 365 days + 1);
        badRequest(record, 13);
        record.matchBy = aRequest().matchBy;
        badRequest(record, 14);
        record.approveWithin = 30 days + 1;
        badRequest(record, 14);
        record.approveWithin = aRequest().approveWithin;
        badRequest(record, 15);
        record.proveWithin = record.timeLimit - 1;
        badRequest(record, 15);
        record.proveWithin = 365 days + 1;
        badRequest(record, 15);
        record.proveWithin = aRequest().proveWithin;
        badRequest(record, 17);
        record.delegate = address(0);
        badRequest(record, 18);
        badCoOwners(record);
        failRequest(record, OWNER, record.price - 1, abi.encodeWithSelector(I.WrongValue.selector, record.price));
        failRequest(record, OWNER, record.price + 1, abi.encodeWithSelector(I.WrongValue.selector, record.price));
        failRequest(record, OWNER, record.price, abi.encodeWithSelector(I.AlreadyUsed.selector));
    }

    /// @dev Each fault of a co-owner by itself; leaves the record without any.
    function badCoOwners(I.Request memory record) private {
        for (uint256 fault = 0; fault < 9; ++fault) {
            record.coOwners = aSharedRequest().coOwners;
            record.inputs = aSharedRequest().inputs;
            record.delegate = vm.addr(DELEGATE_KEY);
            if (fault == 0) record.coOwners[0].account = address(0);
            if (fault == 1) record.coOwners[0].account = record.coOwners[1].account;
            if (fault == 2) record.coOwners[1].account = address(1);
            if (fault == 3) record.coOwners[1].account = OWNER;
            if (fault == 4) record.delegate = record.coOwners[1].account;
            if (fault == 5) record.coOwners[1].inputs = 0;
            if (fault == 6) record.coOwners[1].inputs = 4;
            if (fault == 7) record.coOwners[1].inputs = 16;
            if (fault == 8) record.coOwners[1].inputs = uint32(1 << 31);
            badRequest(record, 18);
        }
        record.coOwners = new I.CoOwner[](0);
        record.inputs = aRequest().inputs;
        record.delegate = address(0);
    }

    function test_requestBoundsAreInclusive() public {
        I.Request memory record = aRequest();
        record.inputs = new bytes32[](32);
        for (uint256 i = 0; i < 32; ++i) {
            record.inputs[i] = bytes32(i + 1);
        }
        vm.deal(OWNER, 2 ** 96);
        record.price = 2 ** 94 - 1;
        record.timeLimit = 30 days;
        record.matchBy = uint64(START + 365 days);
        record.approveWithin = 30 days;
        record.proveWithin = 365 days;
        request(record);

        record.price = 0;
        record.timeLimit = 1;
        record.matchBy = uint64(START);
        record.approveWithin = 1;
        record.proveWithin = 1;
        record.metadata = 0;
        record.salt = 0;
        request(record);

        record.delegate = vm.addr(DELEGATE_KEY);
        record.coOwners = new I.CoOwner[](7);
        for (uint256 i = 0; i < 7; ++i) {
            record.coOwners[i] = I.CoOwner(address(uint160(i + 1)), uint32(1 << (i == 6 ? 31 : i)));
        }
        request(record);
    }

    function test_offerInOrder() public {
        I.Offer memory terms = anOffer();
        terms.kinds = 0;
        terms.validUntil = uint64(START - 1);
        expectError(I.NotYours.selector);
        pox.offer(terms);
        expectError(I.BadRecord.selector, 1);
        offer(terms);
        terms.kinds = anOffer().kinds;
        expectError(I.BadRecord.selector, 8);
        offer(terms);
        terms.validUntil = uint64(START);
        offer(terms);
        // Advertising has no state: it can be done again.
        offer(terms);
    }

    function test_withdrawOfferInOrder() public {
        I.Offer memory terms = anOffer();
        expectError(I.NotYours.selector);
        pox.withdrawOffer(terms);
        vm.prank(PROCESSOR);
        pox.withdrawOffer(terms);
        failWithdrawOffer(terms);
        // Advertising it again does not open it again.
        offer(terms);
        failWithdrawOffer(terms);
    }

    function test_matchInOrder() public {
        I.Request memory record = aRequest();
        record.processors = bytes32(uint256(uint160(OTHER)));
        I.Offer memory terms = anOffer();
        terms.validUntil = uint64(START + 1);
        terms.kinds = 8;
        terms.cpuMillis = 0;
        terms.memoryMib = 0;
        terms.diskMib = 0;
        terms.timeLimit = 0;
        terms.pricePerSecond = 2;

        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.WrongPhase.selector, I.Phase.None));
        request(record);
        vm.warp(record.matchBy + 1);
        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.TooLate.selector, record.matchBy));
        vm.warp(record.matchBy);
        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.NotYours.selector));
        failMatch(record, terms, PROCESSOR, abi.encodeWithSelector(I.NotYours.selector));

        // From here on the offer is the named processor's, and each repair of its terms makes it another offer.
        terms.processor = OTHER;
        uint256 open = vm.snapshotState();
        vm.prank(OTHER);
        pox.withdrawOffer(terms);
        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.OfferClosed.selector));
        vm.revertToState(open);
        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.TooLate.selector, terms.validUntil));
        terms.validUntil = anOffer().validUntil;
        misfit(record, terms, 8);
        terms.kinds = 2;
        misfit(record, terms, 9);
        terms.cpuMillis = record.cpuMillis;
        misfit(record, terms, 10);
        terms.memoryMib = record.memoryMib;
        misfit(record, terms, 11);
        terms.diskMib = record.diskMib;
        misfit(record, terms, 12);
        terms.timeLimit = record.timeLimit;
        misfit(record, terms, 2);
        terms.pricePerSecond = 1;

        vm.expectRevert(abi.encodeWithSelector(I.WrongEnclave.selector));
        vm.prank(OTHER);
        pox.matchTask{value: terms.bond + 1}(record, terms, address(0), EVIDENCE);
        bytes memory wrongValue = abi.encodeWithSelector(I.WrongValue.selector, terms.bond);
        failMatch(record, terms, OTHER, wrongValue);
        vm.expectRevert(wrongValue);
        vm.prank(OTHER);
        pox.matchTask{value: terms.bond - 1}(record, terms, enclave, EVIDENCE);
        vm.prank(OTHER);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
    }

    function test_matchOfWithdrawnOffer() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        request(record);
        offer(terms);
        vm.prank(PROCESSOR);
        pox.withdrawOffer(terms);
        failMatch(record, terms, PROCESSOR, abi.encodeWithSelector(I.OfferClosed.selector));
        offer(terms);
        failMatch(record, terms, PROCESSOR, abi.encodeWithSelector(I.OfferClosed.selector));
    }

    function test_rejectInOrder() public {
        I.Request memory record = aRequest();
        expectPhaseError(I.Phase.None);
        pox.reject(record, OTHER, 0);
        bytes32 id = matched(record, anOffer());
        vm.warp(stateOf(id).deadline + 1);
        expectError(I.TooLate.selector, stateOf(id).deadline);
        vm.prank(PROCESSOR);
        pox.reject(record, OTHER, 0);
        vm.warp(stateOf(id).deadline);
        expectError(I.WrongEnclave.selector);
        vm.prank(PROCESSOR);
        pox.reject(record, OTHER, 0);
        expectError(I.NotYours.selector);
        vm.prank(PROCESSOR);
        pox.reject(record, enclave, 0);
        vm.prank(OWNER);
        pox.reject(record, enclave, 0);

        // A refusal is of one enclave: the next match is not its business.
        vm.warp(START);
        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), address(0xe2), EVIDENCE);
        expectError(I.WrongEnclave.selector);
        vm.prank(OWNER);
        pox.reject(record, enclave, 0);
        same(stateOf(id).enclave, address(0xe2), "the later match stands");
    }

    function test_approveInOrder() public {
        I.Request memory record = aRequest();
        bytes32 id = idOf(record);
        bytes memory bad = "not a signed secret";
        bytes memory secret = secretFor(id, enclave);
        expectPhaseError(I.Phase.None);
        pox.approve(id, OTHER, bad);
        matched(record, anOffer());
        uint256 deadline = stateOf(id).deadline;
        vm.warp(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        direct(OWNER);
        pox.approve(id, OTHER, bad);
        vm.warp(deadline);
        expectError(I.WrongEnclave.selector);
        direct(OWNER);
        pox.approve(id, OTHER, bad);
        expectError(I.NotDirect.selector);
        vm.prank(OWNER);
        pox.approve(id, enclave, bad);
        expectError(I.BadSignature.selector);
        direct(OWNER);
        pox.approve(id, enclave, bad);
        direct(OWNER);
        pox.approve(id, enclave, secret);
    }

    function test_proveInOrder() public {
        I.Receipt memory receipt = aReceipt(idOf(aRequest()));
        receipt.enclave = OTHER;
        receipt.outcome = 64;
        bytes memory signature = "not a signature";
        expectPhaseError(I.Phase.None);
        pox.prove(receipt, ARCHIVE, signature);
        bytes32 id = approved(aRequest(), anOffer());
        uint256 deadline = stateOf(id).deadline;
        vm.warp(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        pox.prove(receipt, ARCHIVE, signature);
        vm.warp(deadline);
        expectError(I.WrongEnclave.selector);
        pox.prove(receipt, ARCHIVE, signature);
        receipt.enclave = enclave;
        expectError(I.BadOutcome.selector);
        pox.prove(receipt, ARCHIVE, signature);
        receipt.outcome = 63;
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, signature);
        signature = sign(ENCLAVE_KEY, receipt);
        pox.prove(receipt, ARCHIVE, signature);
    }

    function test_cancelInOrder() public {
        bytes32 id = idOf(aRequest());
        expectPhaseError(I.Phase.None);
        pox.cancel(id);
        request(aRequest());
        expectError(I.NotYours.selector);
        vm.prank(PROCESSOR);
        pox.cancel(id);
        vm.prank(OWNER);
        pox.cancel(id);
    }

    function test_expireInOrder() public {
        I.Request memory record = aRequest();
        expectPhaseError(I.Phase.None);
        pox.expire(record);
        request(record);
        expectError(I.TooEarly.selector, record.matchBy);
        pox.expire(record);
    }

    function test_withdrawInOrder() public {
        expectError(I.NothingToWithdraw.selector);
        vm.prank(PROCESSOR);
        pox.withdraw();
        proven(0);
        uint256 owed = pox.credit(PROCESSOR);
        // The account becomes code that refuses all money.
        vm.etch(PROCESSOR, hex"60006000fd");
        expectError(I.PaymentRefused.selector);
        vm.prank(PROCESSOR);
        pox.withdraw();
        same(pox.credit(PROCESSOR), owed, "credit stays");
    }

    /// @dev Each call in each phase that it does not belong to.
    function test_wrongPhases() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = idOf(record);
        uint256 start = vm.snapshotState();
        for (uint256 phase = 1; phase <= 6; ++phase) {
            reach(I.Phase(phase));
            same(stateOf(id).phase, I.Phase(phase), "reached");
            bytes memory wrong = abi.encodeWithSelector(I.WrongPhase.selector, phase);
            if (phase != 1) {
                failMatch(record, terms, PROCESSOR, wrong);
                vm.expectRevert(wrong);
                vm.prank(OWNER);
                pox.cancel(id);
            }
            if (phase != 2) {
                vm.expectRevert(wrong);
                vm.prank(OWNER);
                pox.reject(record, enclave, 0);
                bytes memory secret = secretFor(id, enclave);
                vm.expectRevert(wrong);
                direct(OWNER);
                pox.approve(id, enclave, secret);
            }
            if (phase != 3) {
                I.Receipt memory receipt = aReceipt(id);
                bytes memory signature = sign(ENCLAVE_KEY, receipt);
                vm.expectRevert(wrong);
                pox.prove(receipt, ARCHIVE, signature);
            }
            if (phase > 3) {
                vm.expectRevert(wrong);
                pox.expire(record);
            }
            failRequest(record, OWNER, record.price, abi.encodeWithSelector(I.AlreadyUsed.selector));
            vm.revertToState(start);
        }
    }

    /// @dev Calls that take no money refuse it, and there is no way to send money without a call.
    function test_moneyOnlyWhereItBelongs() public {
        bytes[] memory calls = new bytes[](8);
        calls[0] = abi.encodeCall(I.offer, (anOffer()));
        calls[1] = abi.encodeCall(I.withdrawOffer, (anOffer()));
        calls[2] = abi.encodeCall(I.reject, (aRequest(), enclave, 0));
        calls[3] = abi.encodeCall(I.approve, (0, enclave, ""));
        calls[4] = abi.encodeCall(I.prove, (aReceipt(0), 0, ""));
        calls[5] = abi.encodeCall(I.cancel, (0));
        calls[6] = abi.encodeCall(I.expire, (aRequest()));
        calls[7] = abi.encodeCall(I.withdraw, ());
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(PROCESSOR);
            (bool accepted, bytes memory reason) = address(pox).call{value: 1}(calls[i]);
            check(!accepted && reason.length == 0, "refuses money before anything else");
        }
        (bool plain,) = address(pox).call{value: 1}("");
        check(!plain, "refuses a plain transfer");
        (bool unknown,) = address(pox).call{value: 1}(hex"12345678");
        check(!unknown, "refuses an unknown call");
    }

    function reach(I.Phase phase) private {
        I.Request memory record = aRequest();
        bytes32 id = idOf(record);
        if (phase == I.Phase.Requested) request(record);
        if (phase == I.Phase.Matched) matched(record, anOffer());
        if (phase == I.Phase.Approved) approved(record, anOffer());
        if (phase == I.Phase.Proven) proven(0);
        if (phase == I.Phase.Cancelled) {
            request(record);
            vm.prank(OWNER);
            pox.cancel(id);
        }
        if (phase == I.Phase.Expired) {
            request(record);
            vm.warp(uint256(record.matchBy) + 1);
            pox.expire(record);
            vm.warp(START);
        }
    }

    function failRequest(I.Request memory record, address sender, uint256 value, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(sender);
        pox.request{value: value}(record);
    }

    function badRequest(I.Request memory record, uint256 field) private {
        failRequest(record, OWNER, record.price + 1, abi.encodeWithSelector(I.BadRecord.selector, field));
    }

    function failWithdrawOffer(I.Offer memory terms) private {
        expectError(I.OfferClosed.selector);
        vm.prank(PROCESSOR);
        pox.withdrawOffer(terms);
    }

    function misfit(I.Request memory record, I.Offer memory terms, uint256 field) private {
        failMatch(record, terms, OTHER, abi.encodeWithSelector(I.DoesNotFit.selector, field));
    }

    /// @dev Sends one wei more than the bond, so that the value is wrong as well.
    function failMatch(I.Request memory record, I.Offer memory terms, address sender, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(sender);
        pox.matchTask{value: terms.bond + 1}(record, terms, enclave, EVIDENCE);
    }
}
