// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Attacks on money, and on the clock: hostile receivers, forced coins, the exact second of each deadline, replays
/// elsewhere, and chains without fees.
contract HostileTest is Base {
    /// @dev A receiver that, while it is paid, makes calls that are its own to make. They count, and pay it nothing more.
    function test_reentrantReceiverMayActAndGainsNothing() public {
        Acting actor = new Acting(pox);
        vm.deal(address(actor), 10 ether);
        I.Request memory bystander = aRequest();
        bystander.salt = "bystander";
        bystander.price = 1 ether;
        request(bystander);
        bytes32 first = actor.post(aRequest(), 1);
        actor.post(aRequest(), 2);
        actor.cancel(first);
        // Paid 3,600; while it is, it cancels its second task, tries to be paid for that as well, and posts a third.
        actor.collect();
        same(actor.depth(), 2, "the nested payment was of the second task, whose price was its own");
        uint256 third = 3_600;
        same(address(pox).balance, bystander.price + third + pox.credit(address(actor)), "all that is owed, and no more");
        same(address(actor).balance, 10 ether - third - pox.credit(address(actor)), "what it paid in is what it got back");
    }

    /// @dev A receiver that answers a payment with as many bytes as its gas allows.
    function test_returnBombHarmsOnlyItsReceiver() public {
        Bomb bomb = new Bomb();
        I.Offer memory terms = anOffer();
        terms.processor = address(bomb);
        vm.deal(address(bomb), 1 ether);
        bytes32 id = approved(aRequest(), terms);
        I.Receipt memory receipt = aReceipt(id);
        receipt.outcome = 33;
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        uint256 owed = pox.credit(address(bomb));
        vm.prank(address(bomb));
        (bool paid,) = address(pox).call{gas: 2_000_000}(abi.encodeCall(I.withdraw, ()));
        same(pox.credit(address(bomb)), paid ? 0 : owed, "paid whole, or not at all");
        vm.prank(OWNER);
        pox.withdraw();
        same(address(pox).balance, pox.credit(address(bomb)), "the owner has its own");
    }

    /// @dev A receiver that burns all gas it gets: the credit stays, and nobody else waits for it.
    function test_gasBurnerHarmsOnlyItself() public {
        Burner burner = new Burner();
        I.Offer memory terms = anOffer();
        terms.processor = address(burner);
        vm.deal(address(burner), 1 ether);
        matched(aRequest(), terms);
        vm.prank(OWNER);
        pox.reject(aRequest(), enclave, 1);
        vm.prank(address(burner));
        (bool paid,) = address(pox).call{gas: 500_000}(abi.encodeCall(I.withdraw, ()));
        check(!paid, "refused");
        same(pox.credit(address(burner)), terms.bond, "and the credit stays");
        bytes32 id = idOf(aRequest());
        vm.prank(OWNER);
        pox.cancel(id);
        vm.prank(OWNER);
        pox.withdraw();
        same(address(pox).balance, terms.bond, "the owner has its own");
    }

    /// @dev Coins that a dying contract forces in, before the deployment and after it, belong to nobody and disturb nothing.
    function test_forcedCoinsDisturbNothing() public {
        address next = address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(this), bytes1(uint8(nonce())))))));
        forceCoins(next, 3 ether);
        pox = deploy();
        same(address(pox), next, "deployed onto the coins");
        forceCoins(address(pox), 5 ether);
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        vm.prank(PROCESSOR);
        pox.withdraw();
        same(address(pox).balance, 8 ether, "nobody can take them");
        expectError(I.NothingToWithdraw.selector);
        pox.withdraw();
    }

    /// @dev Coins can't be sent: there is no function that takes them without a record.
    function test_plainPaymentsAreRefused() public {
        vm.deal(address(this), 1 ether);
        (bool accepted,) = address(pox).call{value: 1}("");
        check(!accepted, "no receive");
        (accepted,) = address(pox).call{value: 1}(hex"12345678");
        check(!accepted, "no fallback");
        (accepted,) = address(pox).call(hex"12345678");
        check(!accepted, "no fallback without coins either");
    }

    /// @dev In the last second of a request it can be matched and not expired; in the next one the other way round.
    function test_exactSecondOfAMatch() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        request(record);
        uint256 snapshot = setClock(record.matchBy);
        expectError(I.TooEarly.selector, record.matchBy);
        pox.expire(record);
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        vm.revertToState(snapshot);
        setClock(record.matchBy + 1);
        vm.prank(PROCESSOR);
        expectError(I.TooLate.selector, record.matchBy);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        pox.expire(record);
    }

    /// @dev In the last second of an offer it can be matched, in the next one not, and nothing else changes.
    function test_exactSecondOfAnOffer() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        terms.validUntil = record.matchBy - 10;
        request(record);
        uint256 snapshot = setClock(terms.validUntil);
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        vm.revertToState(snapshot);
        setClock(terms.validUntil + 1);
        vm.prank(PROCESSOR);
        expectError(I.TooLate.selector, terms.validUntil);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        terms.validUntil += 1;
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
    }

    /// @dev The owner's answer: approve and reject in the last second, only expire in the next.
    function test_exactSecondOfAnAnswer() public {
        I.Request memory record = aRequest();
        bytes32 id = matched(record, anOffer());
        bytes memory secret = secretFor(id, enclave);
        uint256 deadline = stateOf(id).deadline;
        same(deadline, START + record.approveWithin, "deadline");
        uint256 snapshot = setClock(deadline);
        expectError(I.TooEarly.selector, deadline);
        pox.expire(record);
        direct(OWNER);
        pox.approve(id, enclave, secret);
        vm.revertToState(snapshot);
        vm.prank(OWNER);
        pox.reject(record, enclave, 1);
        vm.revertToState(snapshot);
        setClock(deadline + 1);
        direct(OWNER);
        expectError(I.TooLate.selector, deadline);
        pox.approve(id, enclave, secret);
        vm.prank(OWNER);
        expectError(I.TooLate.selector, deadline);
        pox.reject(record, enclave, 1);
        pox.expire(record);
        same(pox.credit(PROCESSOR), anOffer().bond, "an unanswered match costs the processor nothing");
    }

    /// @dev The receipt: in the last second it pays the processor, in the next one the bond is the owner's.
    function test_exactSecondOfAReceipt() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        uint256 deadline = stateOf(receipt.task).deadline;
        same(deadline, START + aRequest().proveWithin, "deadline");
        uint256 snapshot = setClock(deadline);
        expectError(I.TooEarly.selector, deadline);
        pox.expire(aRequest());
        pox.prove(receipt, ARCHIVE, signature);
        same(pox.credit(OWNER), 0, "the processor has everything");
        vm.revertToState(snapshot);
        setClock(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        pox.prove(receipt, ARCHIVE, signature);
        pox.expire(aRequest());
        same(pox.credit(OWNER), uint256(aRequest().price) + anOffer().bond, "the owner has everything");
    }

    /// @dev The time of a request's own bound: now is accepted, a second ago is not; and so for the far end.
    function test_exactSecondOfARequest() public {
        I.Request memory record = aRequest();
        record.matchBy = uint64(START - 1);
        badRecord(record, 13);
        record.matchBy = uint64(START + 365 days + 1);
        badRecord(record, 13);
        record.matchBy = uint64(START);
        request(record);
        record.matchBy = uint64(START + 365 days);
        request(record);
    }

    /// @dev A block time that goes back, which chains forbid, reopens nothing that has ended.
    function test_clockThatRunsBackReopensNothing() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        setClock(stateOf(receipt.task).deadline + 1);
        pox.expire(aRequest());
        setClock(START);
        expectPhaseError(I.Phase.Expired);
        pox.prove(receipt, ARCHIVE, signature);
        vm.prank(OWNER);
        expectError(I.AlreadyUsed.selector);
        pox.request{value: aRequest().price}(aRequest());
    }

    /// @dev The same records at another contract or on another chain are other tasks and offers, with money of their own; a
    /// signature for the one serves nothing at the other.
    function test_recordsAreNotReplayedElsewhere() public {
        I first = pox;
        bytes32 here = matched(aRequest(), anOffer());
        bytes memory secret = secretFor(here, enclave);
        bytes32 offerHere = records.offerId(domain(), anOffer());
        pox = deploy();
        check(idOf(aRequest()) != here && records.offerId(domain(), anOffer()) != offerHere, "other ids");
        same(stateOf(here).phase, I.Phase.None, "the task is not here");
        bytes32 there = matched(aRequest(), anOffer());
        direct(OWNER);
        expectError(I.BadSignature.selector);
        pox.approve(there, enclave, secret);
        same(address(first).balance, address(pox).balance, "each holds its own escrow");

        vm.chainId(CHAIN_ID + 1);
        check(idOf(aRequest()) != there, "another chain, another id");
        secret = secretOf(CHAIN_ID, there);
        direct(OWNER);
        expectError(I.BadSignature.selector);
        pox.approve(there, enclave, secret);
        // An offer that was withdrawn before the split is open on the other side: it is another offer there.
        vm.chainId(CHAIN_ID);
        vm.prank(PROCESSOR);
        pox.withdrawOffer(anOffer());
        check(!pox.isOpen(records.offerId(domain(), anOffer())), "withdrawn here");
        vm.chainId(CHAIN_ID + 1);
        check(pox.isOpen(records.offerId(domain(), anOffer())), "and not there");
    }

    /// @dev Where gas costs nothing nobody pays for spam, so nothing that somebody else can post may stand in the way of a task.
    function test_feelessChain() public {
        vm.txGasPrice(0);
        vm.fee(0);
        vm.coinbase(address(0));
        I.Request memory record = aRequest();
        record.price = 0;
        I.Offer memory free = anOffer();
        (free.pricePerSecond, free.bond) = (0, 0);
        for (uint256 i = 0; i < 50; ++i) {
            (record.owner, record.salt, free.processor, free.salt) = (OTHER, bytes32(i), OTHER, bytes32(i));
            request(record);
            offer(free);
        }
        (record.owner, free.processor) = (OWNER, PROCESSOR);
        I.Receipt memory receipt = aReceipt(approved(record, free));
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        same(stateOf(receipt.task).phase, I.Phase.Proven, "phase");
        same(pox.credit(PROCESSOR), 0, "a free task pays nothing");
        vm.prank(PROCESSOR);
        expectError(I.NothingToWithdraw.selector);
        pox.withdraw();
    }

    /// @dev One account in both parts, through every end: it gets back what it paid in, to the wei.
    function test_selfDealingEndsEven() public {
        I.Offer memory terms = anOffer();
        terms.processor = OWNER;
        uint8[5] memory outcomes = [0, 16, 32, 48, 63];
        uint256 before = OWNER.balance;
        for (uint256 i = 0; i < outcomes.length; ++i) {
            I.Request memory record = aRequest();
            record.salt = bytes32(i);
            I.Receipt memory receipt = aReceipt(approved(record, terms));
            receipt.outcome = outcomes[i];
            pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
            same(pox.credit(OWNER), uint256(record.price) + terms.bond, "its own price and bond");
            vm.prank(OWNER);
            pox.withdraw();
            same(OWNER.balance, before, "even");
        }
        same(address(pox).balance, 0, "nothing left");
    }

    /// @dev Creates a contract that destroys itself at once, and leaves its coins to `heir`.
    function forceCoins(address heir, uint256 coins) private {
        vm.deal(address(this), coins);
        bytes memory dying = abi.encodePacked(bytes1(0x73), heir, bytes1(0xff));
        uint256 before = heir.balance;
        assembly ("memory-safe") {
            pop(create(coins, add(dying, 0x20), mload(dying)))
        }
        same(heir.balance, before + coins, "forced");
    }

    function setClock(uint256 time) private returns (uint256 snapshot) {
        vm.warp(time);
        return vm.snapshotState();
    }

    function badRecord(I.Request memory record, uint256 field) private {
        vm.prank(record.owner);
        expectError(I.BadRecord.selector, field);
        pox.request{value: record.price}(record);
    }

    /// @dev A release signed for the same task id, but another chain.
    function secretOf(uint256 chainId, bytes32 task) private view returns (bytes memory) {
        bytes32 digest = records.releaseId(records.domain(chainId, address(pox)), task, enclave, keccak256(SEALED));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest);
        return abi.encodePacked(r, s, v, SEALED);
    }

    function nonce() private view returns (uint64) {
        return vm.getNonce(address(this)) + 1;
    }
}

/// @notice Acts for itself while it is paid.
contract Acting {
    I private immutable POX;
    bytes private _second;
    bytes32 private _id;
    uint256 public depth;

    constructor(I pox) {
        POX = pox;
    }

    function post(I.Request memory record, uint256 salt) public returns (bytes32 id) {
        (record.owner, record.salt) = (address(this), bytes32(salt));
        id = POX.request{value: record.price}(record);
        (_second, _id) = (abi.encode(record), id);
    }

    function cancel(bytes32 id) external {
        POX.cancel(id);
    }

    function collect() external {
        POX.withdraw();
    }

    receive() external payable {
        if (++depth != 1) return;
        POX.cancel(_id);
        POX.withdraw();
        post(abi.decode(_second, (I.Request)), 3);
    }
}

/// @notice Answers with a megabyte, or as much as it can.
contract Bomb {
    receive() external payable {
        assembly {
            return(0, 1000000)
        }
    }
}

/// @notice Burns what gas it gets.
contract Burner {
    receive() external payable {
        while (true) {}
    }
}

