// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice What somebody with bad intentions would try.
contract AttacksTest is Base {
    function test_reentrantWithdrawIsPaidOnce() public {
        Reentrant thief = new Reentrant(pox);
        I.Offer memory terms = anOffer();
        terms.processor = address(thief);
        vm.deal(address(thief), 1 ether);
        // Another task's escrow is there to be stolen, enough for several payments.
        I.Request memory victim = aRequest();
        victim.salt = "victim";
        victim.price = 10_000;
        request(victim);

        bytes32 id = approved(aRequest(), terms);
        I.Receipt memory receipt = aReceipt(id);
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        uint256 before = address(thief).balance;
        uint256 owed = pox.credit(address(thief));
        thief.attack();
        same(thief.refused(), 5, "every nested call was refused");
        same(address(thief).balance, before + owed, "paid once");
        same(address(pox).balance, victim.price, "the escrow is untouched");
    }

    function test_refusingReceiverGriefsNobody() public {
        I.Offer memory terms = anOffer();
        terms.processor = address(new Refusing());
        vm.deal(terms.processor, 1 ether);
        bytes32 id = approved(aRequest(), terms);
        I.Receipt memory receipt = aReceipt(id);
        receipt.outcome = 33;
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        expectError(I.PaymentRefused.selector);
        vm.prank(terms.processor);
        pox.withdraw();
        vm.prank(OWNER);
        pox.withdraw();
        same(address(pox).balance, terms.bond, "only the refusing account's credit is left");
        same(pox.credit(terms.processor), terms.bond, "and it stays its own");
    }

    function test_highSIsRefused() public {
        (I.Receipt memory receipt, uint8 v, bytes32 r, bytes32 s) = signedReceipt();
        badSignature(receipt, abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)));
        pox.prove(receipt, ARCHIVE, abi.encodePacked(r, s, v));
    }

    function test_onlyTwoValuesOfVAndOneLength() public {
        (I.Receipt memory receipt, uint8 v, bytes32 r, bytes32 s) = signedReceipt();
        for (uint256 other = 0; other < 256; ++other) {
            if (other != v) badSignature(receipt, abi.encodePacked(r, s, uint8(other)));
        }
        badSignature(receipt, "");
        badSignature(receipt, abi.encodePacked(r, s));
        badSignature(receipt, abi.encodePacked(r, s, v, uint8(0)));
        // The short form of EIP-2098.
        badSignature(receipt, abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255))));
        pox.prove(receipt, ARCHIVE, abi.encodePacked(r, s, v));
    }

    /// @dev A signature that recovers to nobody gives address zero. No task can have that enclave.
    function test_signatureOfNobodyIsRefused() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        badSignature(receipt, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        badSignature(receipt, abi.encodePacked(bytes32(ORDER), bytes32(uint256(1)), uint8(27)));
        receipt.enclave = address(0);
        expectError(I.WrongEnclave.selector);
        pox.prove(receipt, ARCHIVE, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
    }

    /// @dev An owner who could approve with bytes that the enclave must refuse would get price and bond by waiting.
    function test_approveTakesWhatTheEnclaveTakes() public {
        bytes32 id = matched(aRequest(), anOffer());
        bytes32 separator = domain();
        bytes32 digest = records.releaseId(separator, id, enclave, keccak256(SEALED));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest);
        badSecret(id, "");
        badSecret(id, abi.encodePacked(r, s, v));
        badSecret(id, release(OWNER_KEY, id, enclave, ""));
        badSecret(id, abi.encodePacked(SEALED, new bytes(65)));
        badSecret(id, abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? 28 : 27, SEALED));
        badSecret(id, abi.encodePacked(r, s, v - 27, SEALED));
        badSecret(id, abi.encodePacked(bytes32(0), bytes32(0), uint8(27), SEALED));
        badSecret(id, abi.encodePacked(r, s, v, "resealed"));
        badSecret(id, release(ENCLAVE_KEY, id, enclave, SEALED));
        badSecret(id, release(OWNER_KEY, id, OTHER, SEALED));
        badSecret(id, release(OWNER_KEY, "another task", enclave, SEALED));
        (v, r, s) =
            vm.sign(OWNER_KEY, records.releaseId(records.domain(CHAIN_ID + 1, address(pox)), id, enclave, keccak256(SEALED)));
        badSecret(id, abi.encodePacked(r, s, v, SEALED));
        bytes memory secret = secretFor(id, enclave);
        direct(OWNER);
        pox.approve(id, enclave, secret);
    }

    function test_anotherKeyCanNotProve() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        badSignature(receipt, sign(ENCLAVE_KEY + 1, receipt));
    }

    /// @dev One enclave key for two tasks, which honest enclaves never have: still no receipt serves the other task.
    function test_receiptServesOneTask() public {
        I.Request memory record = aRequest();
        bytes32 first = approved(record, anOffer());
        record.salt = "second";
        bytes32 second = approved(record, anOffer());
        I.Receipt memory receipt = aReceipt(first);
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        pox.prove(receipt, ARCHIVE, signature);
        receipt.task = second;
        badSignature(receipt, signature);
        receipt.task = first;
        expectPhaseError(I.Phase.Proven);
        pox.prove(receipt, ARCHIVE, signature);
    }

    function test_receiptServesOneContract() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        pox = deploy();
        bytes32 id = approved(aRequest(), anOffer());
        check(id != receipt.task, "the id binds the contract");
        expectPhaseError(I.Phase.None);
        pox.prove(receipt, ARCHIVE, signature);
        receipt.task = id;
        badSignature(receipt, signature);
    }

    /// @dev The chain splits after the approval: each side has its own id from then on.
    function test_receiptServesOneChain() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        vm.chainId(CHAIN_ID + 1);
        badSignature(receipt, signature);
        same(idOf(aRequest()), records.requestId(records.domain(CHAIN_ID + 1, address(pox)), aRequest()), "new domain");
        check(idOf(aRequest()) != receipt.task, "the id binds the chain");
        vm.chainId(CHAIN_ID);
        pox.prove(receipt, ARCHIVE, signature);
    }

    /// @dev Somebody sees `prove` in the pool and sends it first, with other words.
    function test_frontRunProveChangesNothing() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        vm.prank(OTHER);
        expectError(I.BadSignature.selector);
        pox.prove(receipt, keccak256("another archive"), signature);
        receipt.outcome = 48;
        badSignature(receipt, signature);
        receipt.outcome = 0;
        receipt.results = keccak256("other results");
        badSignature(receipt, signature);
        receipt.results = keccak256("results");
        vm.prank(OTHER);
        pox.prove(receipt, ARCHIVE, signature);
        same(pox.credit(OTHER), 0, "the relay gets nothing");
        same(pox.credit(PROCESSOR), uint256(aRequest().price) + anOffer().bond, "the processor everything");
    }

    /// @dev Copying a match from the pool gives the thief its own bond to lose, and the owner the same right to refuse, which
    /// it uses: the evidence names the other processor (spec §8.2).
    function test_frontRunMatch() public {
        I.Request memory record = aRequest();
        bytes32 id = request(record);
        I.Offer memory honest = anOffer();
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.matchTask{value: honest.bond}(record, honest, enclave, EVIDENCE);

        I.Offer memory copied = anOffer();
        copied.processor = OTHER;
        vm.prank(OTHER);
        pox.matchTask{value: copied.bond}(record, copied, enclave, EVIDENCE);
        vm.prank(PROCESSOR);
        expectPhaseError(I.Phase.Matched);
        pox.matchTask{value: honest.bond}(record, honest, enclave, EVIDENCE);
        vm.prank(OWNER);
        pox.reject(record, enclave, 1);
        vm.prank(PROCESSOR);
        pox.matchTask{value: honest.bond}(record, honest, enclave, EVIDENCE);
        same(stateOf(id).processor, PROCESSOR, "matched");
    }

    function test_requestsAndOffersAreNotReplayed() public {
        I.Request memory record = aRequest();
        bytes32 id = request(record);
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.request{value: record.price}(record);
        vm.prank(OWNER);
        pox.cancel(id);
        vm.prank(OWNER);
        expectError(I.AlreadyUsed.selector);
        pox.request{value: record.price}(record);
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.offer(anOffer());
    }

    function test_selfDealingMakesNoMoney() public {
        I.Offer memory terms = anOffer();
        terms.processor = OWNER;
        uint256 before = OWNER.balance;
        bytes32 id = approved(aRequest(), terms);
        I.Receipt memory receipt = aReceipt(id);
        receipt.outcome = 48;
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        vm.prank(OWNER);
        pox.withdraw();
        same(OWNER.balance, before, "what was paid in, and nothing else");
        same(address(pox).balance, 0, "nothing left");
    }

    /// @dev A receipt in the last second is in time, a second later only `expire` is; never both, never neither.
    function test_deadlineIsSharp() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        uint256 deadline = stateOf(receipt.task).deadline;
        uint256 snapshot = vm.snapshotState();
        vm.warp(deadline);
        expectError(I.TooEarly.selector, deadline);
        pox.expire(aRequest());
        pox.prove(receipt, ARCHIVE, signature);
        vm.revertToState(snapshot);
        vm.warp(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        pox.prove(receipt, ARCHIVE, signature);
        pox.expire(aRequest());
    }

    /// @dev The deadline of a request is only in its record; an earlier one makes another record, which is no task's.
    function test_expireTakesNoOtherDeadline() public {
        I.Request memory record = aRequest();
        request(record);
        vm.warp(START + 10);
        record.matchBy = uint64(START);
        expectPhaseError(I.Phase.None);
        pox.expire(record);
    }

    /// @dev Nor does a match take a later one.
    function test_matchTakesNoOtherDeadline() public {
        I.Request memory record = aRequest();
        request(record);
        vm.warp(record.matchBy + 1);
        record.matchBy += 1;
        vm.prank(PROCESSOR);
        expectPhaseError(I.Phase.None);
        pox.matchTask{value: 500}(record, anOffer(), enclave, EVIDENCE);
    }

    /// @dev The longest times of a record, and a clock at the end of 40 bits, do not spill into the next packed field.
    function test_lateClockDoesNotSpill() public {
        uint256 late = 2 ** 40 - 1 - 800 days;
        vm.warp(late);
        I.Request memory record = aRequest();
        record.matchBy = uint64(late + 365 days);
        record.proveWithin = 365 days;
        I.Offer memory terms = anOffer();
        terms.validUntil = type(uint64).max;
        bytes32 id = approved(record, terms);
        same(stateOf(id).deadline, late + 365 days, "deadline");
        same(stateOf(id).owner, OWNER, "owner");
        same(stateOf(id).phase, I.Phase.Approved, "phase");
    }

    function test_hugeAmountsAreHeld() public {
        I.Request memory record = aRequest();
        record.price = 2 ** 94 - 1;
        I.Offer memory terms = anOffer();
        terms.bond = type(uint96).max;
        vm.deal(OWNER, record.price);
        vm.deal(PROCESSOR, terms.bond);
        I.Receipt memory receipt = aReceipt(approved(record, terms));
        same(stateOf(receipt.task).owner, OWNER, "owner");
        same(stateOf(receipt.task).price, record.price, "price");
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        vm.prank(PROCESSOR);
        pox.withdraw();
        same(PROCESSOR.balance, uint256(record.price) + terms.bond, "paid");
    }

    /// @dev Price per second times seconds is computed without wrapping round.
    function test_fitDoesNotOverflow() public {
        I.Request memory record = aRequest();
        record.timeLimit = 30 days;
        record.proveWithin = 30 days;
        I.Offer memory terms = anOffer();
        terms.timeLimit = type(uint32).max;
        terms.pricePerSecond = type(uint96).max;
        request(record);
        vm.prank(PROCESSOR);
        expectError(I.DoesNotFit.selector, 2);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
    }

    function test_hugeEvidenceAndSecret() public {
        I.Request memory record = aRequest();
        I.Offer memory terms = anOffer();
        bytes32 id = request(record);
        bytes32 offerId = offer(terms);
        bytes memory bulk = new bytes(200_000);
        bulk[199_999] = 0x01;
        bytes memory most = release(OWNER_KEY, id, enclave, new bytes(72 * 1024 - 65));
        bytes memory more = release(OWNER_KEY, id, enclave, new bytes(72 * 1024 - 64));
        bytes32 before = stateOf(id).history;
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, bulk);
        bytes32 history =
            records.extend(before, 2, records.matchPayload(offerId, PROCESSOR, enclave, keccak256(bulk)), 1_000, START);
        same(stateOf(id).history, history, "match");
        badSecret(id, more);
        direct(OWNER);
        pox.approve(id, enclave, most);
        history = records.extend(history, 4, records.approvePayload(enclave, keccak256(most)), 1_000, START);
        same(stateOf(id).history, history, "approve");
    }

    /// @dev Bytes after the arguments, as some relays add, change no id.
    function test_trailingCalldataIsIgnored() public {
        I.Request memory record = aRequest();
        bytes memory call = bytes.concat(abi.encodeCall(I.request, (record)), hex"deadbeef");
        vm.prank(OWNER);
        (bool accepted, bytes memory answer) = address(pox).call{value: record.price}(call);
        check(accepted, "accepted");
        same(abi.decode(answer, (bytes32)), idOf(record), "the same id");
    }

    /// @dev The inputs lie elsewhere in the calldata, behind a gap; the record is the same, and so is its id.
    function test_otherOffsetsGiveTheSameId() public {
        I.Request memory record = aRequest();
        bytes memory plain = abi.encodeCall(I.request, (record));
        // Selector, offset of the record, its 19 fields, of which 4 and 18 are offsets; then the inputs, then the co-owners.
        uint256 position = 4 + 32 + 32 * 4;
        uint256 head = 4 + 32 + 32 * 19;
        bytes memory moved = bytes.concat(
            slice(plain, 0, position),
            bytes32(uint256(19 * 32 + 64)),
            slice(plain, position + 32, head - 32),
            bytes32(uint256(19 * 32 + 128)),
            keccak256("gap"),
            keccak256("gap"),
            slice(plain, head, plain.length)
        );
        vm.prank(OWNER);
        (bool accepted, bytes memory answer) = address(pox).call{value: record.price}(moved);
        check(accepted, "accepted");
        same(abi.decode(answer, (bytes32)), idOf(record), "the same id");
    }

    /// @dev A value with bits above its type is refused, in every field that has a type narrower than a word.
    function test_dirtyBitsAreRefused() public {
        uint8[11] memory narrow = [0, 2, 8, 9, 10, 11, 12, 13, 14, 15, 17];
        for (uint256 i = 0; i < narrow.length; ++i) {
            dirty(abi.encodeCall(I.request, (aRequest())), 4 + 32 + 32 * uint256(narrow[i]), OWNER, aRequest().price);
        }
        for (uint256 field = 0; field < 9; ++field) {
            dirty(abi.encodeCall(I.offer, (anOffer())), 4 + 32 * field, PROCESSOR, 0);
        }
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory call = abi.encodeCall(I.prove, (receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt)));
        uint8[6] memory fields = [1, 2, 3, 6, 7, 8];
        for (uint256 i = 0; i < fields.length; ++i) {
            dirty(call, 4 + 32 * uint256(fields[i]), OTHER, 0);
        }
    }

    /// @dev Every shorter calldata is refused.
    function test_truncatedCalldataIsRefused() public {
        bytes memory call = abi.encodeCall(I.request, (aRequest()));
        for (uint256 length = 0; length < call.length; ++length) {
            vm.prank(OWNER);
            (bool accepted,) = address(pox).call{value: aRequest().price}(slice(call, 0, length));
            check(!accepted, "refused");
        }
    }

    /// @dev A length that promises more inputs than there are bytes, up to one that overflows.
    function test_lyingLengthIsRefused() public {
        uint256[3] memory lengths = [uint256(2), type(uint64).max, type(uint256).max];
        for (uint256 i = 0; i < lengths.length; ++i) {
            // The word that has the inputs' length, and the one that has the co-owners'.
            lyingLength(19, lengths[i]);
            lyingLength(21, lengths[i]);
        }
    }

    function lyingLength(uint256 word, uint256 length) private {
        bytes memory call = abi.encodeCall(I.request, (aRequest()));
        bytes32 lie = bytes32(length);
        for (uint256 k = 0; k < 32; ++k) {
            call[4 + 32 + 32 * word + k] = lie[k];
        }
        vm.prank(OWNER);
        (bool accepted,) = address(pox).call{value: aRequest().price}(call);
        check(!accepted, "refused");
    }

    /// @dev Money forced in by a contract that destroys itself belongs to nobody and disturbs nothing.
    function test_forcedMoneyDisturbsNothing() public {
        vm.deal(address(pox), 5 ether);
        proven(0);
        vm.prank(PROCESSOR);
        pox.withdraw();
        same(address(pox).balance, 5 ether, "untouched");
    }

    function signedReceipt() private returns (I.Receipt memory receipt, uint8 v, bytes32 r, bytes32 s) {
        receipt = aReceipt(approved(aRequest(), anOffer()));
        (v, r, s) = vm.sign(ENCLAVE_KEY, signed(receipt, ARCHIVE));
    }

    function badSecret(bytes32 id, bytes memory secret) private {
        expectError(I.BadSignature.selector);
        direct(OWNER);
        pox.approve(id, enclave, secret);
    }

    function badSignature(I.Receipt memory receipt, bytes memory signature) private {
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, signature);
    }

    function dirty(bytes memory call, uint256 position, address sender, uint256 value) private {
        uint256 snapshot = vm.snapshotState();
        vm.prank(sender);
        (bool accepted, bytes memory reason) = address(pox).call{value: value}(call);
        check(accepted, "clean calldata is accepted");
        vm.revertToState(snapshot);
        bytes1 clean = call[position];
        call[position] = 0x01;
        vm.prank(sender);
        (accepted, reason) = address(pox).call{value: value}(call);
        check(!accepted && reason.length == 0, "dirty calldata is refused");
        call[position] = clean;
        vm.revertToState(snapshot);
    }

    function slice(bytes memory whole, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = whole[i];
        }
    }
}

/// @notice Calls back into the contract while it is being paid.
contract Reentrant {
    I private immutable POX;
    uint256 public refused;

    constructor(I pox) {
        POX = pox;
    }

    function attack() external {
        POX.withdraw();
    }

    receive() external payable {
        if (refused != 0) return;
        I.Request memory record;
        I.Offer memory terms;
        I.Receipt memory receipt;
        attempt(abi.encodeCall(I.withdraw, ()));
        attempt(abi.encodeCall(I.prove, (receipt, 0, "")));
        attempt(abi.encodeCall(I.matchTask, (record, terms, address(this), "")));
        attempt(abi.encodeCall(I.expire, (record)));
        attempt(abi.encodeCall(I.cancel, (0)));
    }

    function attempt(bytes memory call) private {
        (bool accepted,) = address(POX).call(call);
        if (!accepted) ++refused;
    }
}

/// @notice Has no way to receive money.
contract Refusing {}
