// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Each call with random arguments, against what the specification says of them.
contract FuzzTest is Base {
    struct Domain {
        string name;
        string version;
        uint256 chainId;
        address verifyingContract;
    }

    string private constant REQUEST_TYPE =
        "Request(address owner,bytes32 processors,uint96 price,bytes32 image,bytes32[] inputs,bytes32 terms,bytes32 metadata,bytes32 policy,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,uint64 matchBy,uint32 approveWithin,uint32 proveWithin,bytes32 salt,address delegate,CoOwner[] coOwners)CoOwner(address account,uint32 inputs)";
    string private constant OFFER_TYPE =
        "Offer(address processor,uint16 kinds,uint32 cpuMillis,uint32 memoryMib,uint32 diskMib,uint32 timeLimit,uint96 pricePerSecond,uint96 bond,uint64 validUntil,bytes32 salt)";
    string private constant RECEIPT_TYPE =
        "Receipt(bytes32 task,address enclave,uint8 outcome,uint32 exitCode,bytes32 results,bytes32 report,uint64 cpuMicros,uint64 wallMicros,uint64 memoryPeak)";

    /// @dev The digests agree with forge's own EIP-712, for any record.
    function testFuzz_digests(I.Request memory record, I.Offer memory terms, I.Receipt memory receipt, bytes32 separator)
        public
        view
    {
        bytes32 hash = vm.eip712HashStruct(REQUEST_TYPE, abi.encode(record));
        same(records.requestId(separator, record), typed(separator, hash), "request");
        hash = vm.eip712HashStruct(OFFER_TYPE, abi.encode(terms));
        same(records.offerId(separator, terms), typed(separator, hash), "offer");
        hash = vm.eip712HashStruct(RECEIPT_TYPE, abi.encode(receipt));
        same(records.receiptId(separator, receipt), typed(separator, hash), "receipt");
        hash = vm.eip712HashStruct(
            "Release(bytes32 task,address enclave,bytes32 secretHash)",
            abi.encode(receipt.task, receipt.enclave, receipt.results)
        );
        same(records.releaseId(separator, receipt.task, receipt.enclave, receipt.results), typed(separator, hash), "release");
        hash =
            vm.eip712HashStruct("ArchivedReceipt(bytes32 receipt,bytes32 archive)", abi.encode(receipt.task, receipt.results));
        same(records.archivedReceiptId(separator, receipt.task, receipt.results), typed(separator, hash), "archived");
    }

    function testFuzz_domain(uint256 chainId, address verifier) public view {
        bytes32 hash = vm.eip712HashStruct(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
            abi.encode(Domain("ProofOfExecution", "1", chainId, verifier))
        );
        same(records.domain(chainId, verifier), hash, "domain");
    }

    /// @dev Any request is either accepted whole, or refused for the first field that is out of bounds.
    function testFuzz_request(I.Request memory record, uint256 value, uint256 shape) public {
        shapeRequest(record, shape);
        value = shape % 5 == 0 ? value % 2 ** 96 : record.price;
        vm.deal(record.owner, value);
        bytes memory expected = requestError(record, value);
        if (expected.length != 0) vm.expectRevert(expected);
        vm.prank(record.owner);
        bytes32 id = pox.request{value: value}(record);
        if (expected.length != 0) return;
        State memory s = stateOf(idOf(record));
        same(id, idOf(record), "id");
        same(s.phase, I.Phase.Requested, "phase");
        same(s.owner, record.owner, "owner");
        same(s.price, record.price, "price");
        same(s.deadline, 0, "deadline");
    }

    function testFuzz_offer(I.Offer memory terms, address sender) public {
        vm.assume(sender != terms.processor);
        expectError(I.NotYours.selector);
        vm.prank(sender);
        pox.offer(terms);
        bool bad = true;
        if (terms.kinds == 0) expectError(I.BadRecord.selector, 1);
        else if (terms.validUntil < START) expectError(I.BadRecord.selector, 8);
        else bad = false;
        bytes32 id = offer(terms);
        if (!bad) {
            same(id, records.offerId(domain(), terms), "id");
            check(pox.isOpen(id), "open");
        }
    }

    /// @dev The fit of random terms, close to the request's in size.
    function testFuzz_match(I.Offer memory terms, uint256 shape) public {
        I.Request memory record = aRequest();
        terms.processor = PROCESSOR;
        terms.kinds = uint16(shape & 7);
        terms.cpuMillis = around(record.cpuMillis, shape >> 8);
        terms.memoryMib = around(record.memoryMib, shape >> 16);
        terms.diskMib = around(record.diskMib, shape >> 24);
        terms.timeLimit = around(record.timeLimit, shape >> 32);
        terms.pricePerSecond = uint96((shape >> 40) % 3);
        terms.bond %= 100 ether;
        terms.validUntil = uint64(START + (shape >> 48) % 100);
        request(record);

        bool fits = false;
        if (record.kinds & terms.kinds == 0) expectError(I.DoesNotFit.selector, 8);
        else if (terms.cpuMillis < record.cpuMillis) expectError(I.DoesNotFit.selector, 9);
        else if (terms.memoryMib < record.memoryMib) expectError(I.DoesNotFit.selector, 10);
        else if (terms.diskMib < record.diskMib) expectError(I.DoesNotFit.selector, 11);
        else if (terms.timeLimit < record.timeLimit) expectError(I.DoesNotFit.selector, 12);
        else if (uint256(terms.pricePerSecond) * record.timeLimit > record.price) expectError(I.DoesNotFit.selector, 2);
        else fits = true;
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
        same(stateOf(idOf(record)).phase, fits ? I.Phase.Matched : I.Phase.Requested, "phase");
    }

    function testFuzz_approve(address sender, address named, bytes calldata sealed_, uint256 time) public {
        vm.assume(sealed_.length != 0);
        I.Request memory record = aRequest();
        bytes32 id = matched(record, anOffer());
        uint256 deadline = stateOf(id).deadline;
        time = START + time % 2_000;
        bytes memory secret = release(OWNER_KEY, id, enclave, sealed_);
        vm.warp(time);
        if (time > deadline) {
            expectError(I.TooLate.selector, deadline);
            direct(sender);
            pox.approve(id, named, secret);
            return;
        }
        if (named != enclave) {
            expectError(I.WrongEnclave.selector);
            direct(OWNER);
            pox.approve(id, named, secret);
        }
        bytes32 before = stateOf(id).history;
        direct(OWNER);
        pox.approve(id, enclave, secret);
        same(
            stateOf(id).history,
            records.extend(before, 4, records.approvePayload(enclave, keccak256(secret)), 1_000, time),
            "history"
        );
    }

    function testFuzz_reject(uint8 reason, address sender) public {
        I.Request memory record = aRequest();
        bytes32 id = matched(record, anOffer());
        if (sender != OWNER) {
            expectError(I.NotYours.selector);
            vm.prank(sender);
            pox.reject(record, enclave, reason);
        }
        bytes32 before = stateOf(id).history;
        vm.prank(OWNER);
        pox.reject(record, enclave, reason);
        same(stateOf(id).history, records.extend(before, 3, records.rejectPayload(OWNER, reason), 1_000, START), "history");
    }

    /// @dev Any receipt of the enclave is accepted from anyone, and money is neither made nor lost.
    function testFuzz_prove(I.Receipt memory receipt, bytes32 archive, address sender) public {
        receipt.task = approved(aRequest(), anOffer());
        receipt.enclave = enclave;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ENCLAVE_KEY, signed(receipt, archive));
        if (receipt.outcome > 63) expectError(I.BadOutcome.selector);
        vm.prank(sender);
        pox.prove(receipt, archive, abi.encodePacked(r, s, v));
        if (receipt.outcome > 63) return;
        same(pox.credit(OWNER) + pox.credit(PROCESSOR), address(pox).balance, "all of it is owed");
        uint256 earned = pox.credit(PROCESSOR);
        check(earned == 0 || earned == 500 || earned == 4_100, "price and bond, the bond, or nothing: never a part of either");
    }

    function testFuzz_foreignSignature(bytes calldata signature) public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, signature);
    }

    /// @dev Changing any bit of a signature makes it invalid.
    function testFuzz_flippedSignature(uint256 bit) public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes memory signature = sign(ENCLAVE_KEY, receipt);
        bit %= 520;
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, signature);
    }

    function testFuzz_expire(uint256 stage, uint256 time) public {
        stage %= 3;
        I.Request memory record = aRequest();
        if (stage == 0) request(record);
        if (stage == 1) matched(record, anOffer());
        if (stage == 2) approved(record, anOffer());
        uint256 deadline = stage == 0 ? record.matchBy : stateOf(idOf(record)).deadline;
        time = START + time % 2 days;
        vm.warp(time);
        if (time <= deadline) expectError(I.TooEarly.selector, deadline);
        pox.expire(record);
        if (time > deadline) same(pox.credit(OWNER) + pox.credit(PROCESSOR), address(pox).balance, "all of it is owed");
    }

    function testFuzz_cancel(address sender) public {
        vm.assume(sender != OWNER);
        bytes32 id = request(aRequest());
        expectError(I.NotYours.selector);
        vm.prank(sender);
        pox.cancel(id);
    }

    function testFuzz_withdraw(address sender) public {
        vm.assume(sender != OWNER && sender != PROCESSOR);
        proven(33);
        expectError(I.NothingToWithdraw.selector);
        vm.prank(sender);
        pox.withdraw();
    }

    /// @dev One input for each of some co-owners in order; some bits of `shape` break it.
    function shapeCoOwners(I.Request memory r, uint256 shape) private pure {
        r.inputs = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            r.inputs[i] = bytes32(i + 1);
        }
        r.coOwners = new I.CoOwner[](shape % 8);
        for (uint256 i = 0; i < r.coOwners.length; ++i) {
            r.coOwners[i] = I.CoOwner(address(uint160(0x100 + i)), uint32(1 << i));
        }
        if (r.coOwners.length != 0 && shape & 0x700 == 0x100) r.coOwners[0].account = address(0x101);
        if (r.coOwners.length != 0 && shape & 0x700 == 0x200) r.coOwners[0].inputs = uint32(shape >> 16);
    }

    /// @dev The bounds of spec §3.1, written a second time.
    function requestError(I.Request memory r, uint256 value) private pure returns (bytes memory) {
        uint256 field = 0;
        if (r.price >= 2 ** 94) field = 2;
        else if (r.image == 0) field = 3;
        else if (r.inputs.length > 32 || anyZero(r.inputs)) field = 4;
        else if (r.terms == 0) field = 5;
        else if (r.policy == 0) field = 7;
        else if (r.kinds == 0) field = 8;
        else if (r.cpuMillis == 0) field = 9;
        else if (r.memoryMib == 0) field = 10;
        else if (r.diskMib == 0) field = 11;
        else if (r.timeLimit < 1 || r.timeLimit > 2_592_000) field = 12;
        else if (r.matchBy < START || r.matchBy > START + 31_536_000) field = 13;
        else if (r.approveWithin < 1 || r.approveWithin > 2_592_000) field = 14;
        else if (r.proveWithin < r.timeLimit || r.proveWithin > 31_536_000) field = 15;
        else if (r.delegate == r.owner) field = 17;
        else if (badCoOwners(r)) field = 18;
        if (field != 0) return abi.encodeWithSelector(I.BadRecord.selector, field);
        if (value != r.price) return abi.encodeWithSelector(I.WrongValue.selector, r.price);
        return "";
    }

    /// @dev Makes most fields good, so that requests are accepted about as often as refused.
    function shapeRequest(I.Request memory r, uint256 shape) private pure {
        if (uint160(r.owner) < 1_000) r.owner = OWNER;
        if (shape & 0xf0 != 0) r.price %= 2 ** 94;
        if (shape & 0xf00 != 0 && r.image == 0) r.image = "image";
        if (shape & 0xf000 != 0 && (r.inputs.length > 32 || anyZero(r.inputs))) r.inputs = new bytes32[](0);
        if (shape & 0xf0000 != 0) r.timeLimit = uint32(1 + r.timeLimit % 30 days);
        if (shape & 0xf00000 != 0) r.matchBy = uint64(START + r.matchBy % (365 days + 1));
        if (shape & 0xf000000 != 0) r.approveWithin = uint32(1 + r.approveWithin % 30 days);
        if (shape & 0xf00000000 != 0) shapeCoOwners(r, shape >> 36);
        if (shape & 0xf0000000 != 0 && r.timeLimit <= 365 days) {
            r.proveWithin = uint32(r.timeLimit + r.proveWithin % (365 days + 1 - r.timeLimit));
        }
    }

    /// @dev Every pair of co-owners is compared, which the contract need not do.
    function badCoOwners(I.Request memory r) private pure returns (bool) {
        I.CoOwner[] memory others = r.coOwners;
        if (others.length > 7) return true;
        for (uint256 i = 0; i < others.length; ++i) {
            I.CoOwner memory one = others[i];
            if (one.account == address(0) || one.account == r.owner || one.account == r.delegate) return true;
            if (one.inputs == 0 || uint256(one.inputs) >= 2 ** r.inputs.length) return true;
            for (uint256 j = 0; j < i; ++j) {
                if (others[j].account >= one.account || others[j].inputs & one.inputs != 0) return true;
            }
        }
        return false;
    }

    function anyZero(bytes32[] memory inputs) private pure returns (bool) {
        for (uint256 i = 0; i < inputs.length; ++i) {
            if (inputs[i] == 0) return true;
        }
        return false;
    }

    /// @dev Any bytes that the owner did not sign, however long.
    function testFuzz_approveTakesNoOtherBytes(bytes calldata secret) public {
        bytes32 id = matched(aRequest(), anOffer());
        expectError(I.BadSignature.selector);
        direct(OWNER);
        pox.approve(id, enclave, secret);
    }

    /// @dev A signed secret of which one byte is changed.
    function testFuzz_approveTakesNoChangedSecret(uint256 place, uint8 change) public {
        vm.assume(change != 0);
        bytes32 id = matched(aRequest(), anOffer());
        bytes memory secret = secretFor(id, enclave);
        place %= secret.length;
        secret[place] = bytes1(uint8(secret[place]) ^ change);
        expectError(I.BadSignature.selector);
        direct(OWNER);
        pox.approve(id, enclave, secret);
    }

    function around(uint32 middle, uint256 shape) private pure returns (uint32) {
        return uint32(middle - 1 + shape % 8);
    }

    function typed(bytes32 separator, bytes32 hash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, hash));
    }
}
