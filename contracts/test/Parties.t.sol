// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "../src/IERC1271.sol";
import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Several data owners, delegates, sponsors, signed intents, lists and batches: what each call does, and its errors.
contract PartiesTest is Base {
    address private constant SPONSOR = address(0x5b0);

    function setUp() public override {
        super.setUp();
        vm.deal(SPONSOR, 1_000 ether);
    }

    function test_everyPartyReleasesInAnyOrder() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = matched(record, anOffer());
        same(stateOf(id).missing, 7, "three parties");
        uint8[3] memory order = [2, 0, 1];
        uint8 missing = 7;
        for (uint256 i = 0; i < 3; ++i) {
            uint8 party = order[i];
            bytes32 before = stateOf(id).history;
            bytes memory secret = release(keyOf(party), id, enclave, SEALED);
            address account = party == 0 ? OWNER : record.coOwners[party - 1].account;
            missing ^= uint8(1 << party);
            vm.expectEmit(true, true, true, true, address(pox));
            emit I.Released(id, account, enclave, keccak256(secret), missing);
            direct(OTHER);
            pox.release(record, party, enclave, secret);
            bytes32 payload = records.releasePayload(account, enclave, keccak256(secret));
            same(stateOf(id).history, records.extend(before, 8, payload, 1_000, START), "history");
            same(stateOf(id).missing, missing, "missing");
            same(stateOf(id).phase, missing == 0 ? I.Phase.Approved : I.Phase.Matched, "phase");
        }
        same(stateOf(id).deadline, START + record.proveWithin, "time to prove begins with the last");
        I.Receipt memory receipt = aReceipt(id);
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
        same(stateOf(id).phase, I.Phase.Proven, "proven");
    }

    function test_releaseInOrder() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = idOf(record);
        expectPhaseError(I.Phase.None);
        pox.release(record, 9, OTHER, "");
        matched(record, anOffer());
        uint256 deadline = stateOf(id).deadline;
        vm.warp(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        pox.release(record, 9, OTHER, "");
        vm.warp(deadline);
        expectError(I.WrongEnclave.selector);
        pox.release(record, 9, OTHER, "");
        expectError(I.NotYours.selector);
        pox.release(record, 3, enclave, "");
        bytes memory secret = release(keyOf(1), id, enclave, SEALED);
        expectError(I.NotDirect.selector);
        pox.release(record, 1, enclave, secret);
        failRelease(record, 1, release(keyOf(2), id, enclave, SEALED), I.BadSignature.selector);
        failRelease(record, 1, release(keyOf(0), id, enclave, SEALED), I.BadSignature.selector);
        failRelease(record, 1, release(keyOf(1), id, OTHER, SEALED), I.BadSignature.selector);
        failRelease(record, 0, secret, I.BadSignature.selector);
        direct(OTHER);
        pox.release(record, 1, enclave, secret);
        failRelease(record, 1, secret, I.NotMissing.selector);
    }

    function test_approveAndReleaseAreNotInterchangeable() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = matched(record, anOffer());
        bytes memory secret = secretFor(id, enclave);
        expectError(I.NeedsRelease.selector);
        direct(OWNER);
        pox.approve(id, enclave, secret);

        record = aRequest();
        id = matched(record, anOffer());
        secret = secretFor(id, enclave);
        failRelease(record, 0, secret, I.NotMissing.selector);
    }

    /// @dev Either co-owner can refuse, and what others released before is void.
    function test_coOwnerRejects() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = matched(record, anOffer());
        bytes memory secret = secretFor(id, enclave);
        direct(OWNER);
        pox.release(record, 0, enclave, secret);
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.reject(record, enclave, 5);
        bytes32 before = stateOf(id).history;
        address account = record.coOwners[1].account;
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Rejected(id, PROCESSOR, account, enclave, 5);
        vm.prank(account);
        pox.reject(record, enclave, 5);
        same(stateOf(id).phase, I.Phase.Requested, "phase");
        same(stateOf(id).history, records.extend(before, 3, records.rejectPayload(account, 5), 1_000, START), "history");
        same(pox.credit(PROCESSOR), anOffer().bond, "bond back");

        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), address(0xe2), EVIDENCE);
        same(stateOf(id).missing, 7, "everybody is asked again");
        failRelease(record, 0, secret, I.WrongEnclave.selector);
    }

    function test_expireWithReleasesMissing() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = matched(record, anOffer());
        bytes memory secret = secretFor(id, enclave);
        direct(OWNER);
        pox.release(record, 0, enclave, secret);
        vm.warp(stateOf(id).deadline + 1);
        pox.expire(record);
        same(pox.credit(OWNER), record.price, "price back");
        same(pox.credit(PROCESSOR), anOffer().bond, "bond back");
    }

    function test_delegateReleasesAndRejectsForTheOwner() public {
        I.Request memory record = aRequest();
        record.delegate = vm.addr(DELEGATE_KEY);
        bytes32 id = matched(record, anOffer());
        same(stateOf(id).missing, 1, "the owner's");
        failRelease(record, 0, secretFor(id, enclave), I.BadSignature.selector);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Rejected(id, PROCESSOR, OWNER, enclave, 4);
        vm.prank(record.delegate);
        pox.reject(record, enclave, 4);
        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), enclave, EVIDENCE);
        bytes memory secret = release(DELEGATE_KEY, id, enclave, SEALED);
        direct(OTHER);
        pox.release(record, 0, enclave, secret);
        same(stateOf(id).phase, I.Phase.Approved, "approved");
    }

    function test_rejectForInOrder() public {
        I.Request memory record = aSharedRequest();
        bytes32 id = idOf(record);
        bytes memory refusal = signature(keyOf(1), records.refusalId(domain(), id, enclave, 3));
        expectPhaseError(I.Phase.None);
        pox.rejectFor(record, 9, OTHER, 4, refusal);
        matched(record, anOffer());
        uint256 deadline = stateOf(id).deadline;
        vm.warp(deadline + 1);
        expectError(I.TooLate.selector, deadline);
        pox.rejectFor(record, 9, OTHER, 4, refusal);
        vm.warp(deadline);
        expectError(I.WrongEnclave.selector);
        pox.rejectFor(record, 9, OTHER, 4, refusal);
        expectError(I.NotYours.selector);
        pox.rejectFor(record, 3, enclave, 4, refusal);
        expectError(I.BadSignature.selector);
        pox.rejectFor(record, 1, enclave, 4, refusal);
        expectError(I.BadSignature.selector);
        pox.rejectFor(record, 2, enclave, 3, refusal);
        pox.rejectFor(record, 1, enclave, 3, refusal);

        // A refusal is of one enclave: the next match is not its business.
        vm.warp(START);
        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), address(0xe2), EVIDENCE);
        expectError(I.WrongEnclave.selector);
        pox.rejectFor(record, 1, enclave, 3, refusal);
        expectError(I.BadSignature.selector);
        pox.rejectFor(record, 1, address(0xe2), 3, refusal);
    }

    function test_sponsorGetsWhatAnOwnerWouldGetBack() public {
        uint256 price = aRequest().price;
        uint256 bond = anOffer().bond;
        uint8[4] memory outcomes = [0, 16, 32, 48];
        for (uint256 end = 0; end < 8; ++end) {
            uint256 snapshot = vm.snapshotState();
            bytes32 id = sponsored(aRequest());
            same(stateOf(id).sponsor, SPONSOR, "sponsor");
            (uint256 toSponsor, uint256 toOwner) = (price, 0);
            if (end == 0) {
                vm.prank(OWNER);
                pox.cancel(id);
            } else if (end == 1) {
                vm.warp(uint256(aRequest().matchBy) + 1);
                pox.expire(aRequest());
            } else {
                matchIt(aRequest());
                if (end == 2) {
                    vm.warp(stateOf(id).deadline + 1);
                    pox.expire(aRequest());
                } else {
                    bytes memory secret = secretFor(id, enclave);
                    direct(SPONSOR);
                    pox.approve(id, enclave, secret);
                    if (end == 3) {
                        vm.warp(stateOf(id).deadline + 1);
                        pox.expire(aRequest());
                        // The bond answers for the owner's loss, not for the sponsor's.
                        toOwner = bond;
                    } else {
                        uint8 outcome = outcomes[end - 4];
                        prove(id, outcome);
                        if (outcome < 32) toSponsor = 0;
                        if (outcome >= 48) toOwner = bond;
                    }
                }
            }
            same(pox.credit(SPONSOR), toSponsor, "sponsor's credit");
            same(pox.credit(OWNER), toOwner, "owner's credit");
            same(pox.credit(PROCESSOR) + toSponsor + toOwner, address(pox).balance, "the rest is the processor's");
            same(stateOf(id).sponsor, address(0), "gone after the end");
            same(vm.load(address(pox), bytes32(uint256(keccak256(abi.encode(id, uint256(0)))) + 4)), 0, "and its slot");
            vm.revertToState(snapshot);
        }
    }

    function test_requestForInOrder() public {
        I.Request memory record = aRequest();
        request(record);
        bytes memory intent = signature(OWNER_KEY, idOf(record));
        record.owner = address(0);
        record.image = 0;
        expectError(I.BadRecord.selector, 0);
        pox.requestFor{value: 1}(record, "");
        record.owner = OWNER;
        expectError(I.BadRecord.selector, 3);
        pox.requestFor{value: 1}(record, "");
        record.image = aRequest().image;
        expectError(I.WrongValue.selector, record.price);
        pox.requestFor{value: 1}(record, "");
        expectError(I.AlreadyUsed.selector);
        pox.requestFor{value: record.price}(record, "");
        record.salt = "another";
        expectError(I.BadSignature.selector);
        pox.requestFor{value: record.price}(record, intent);
        intent = signature(OWNER_KEY, idOf(record));
        bytes32 id = idOf(record);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Requested(id, OWNER, record.image, record);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Uses(record.inputs[0], id);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Sponsored(id, SPONSOR);
        vm.prank(SPONSOR);
        same(pox.requestFor{value: record.price}(record, intent), id, "returns the id");
        same(
            vm.load(address(pox), keccak256(abi.encode(id, uint256(0)))),
            bytes32(abi.encodePacked(uint96(record.price) | uint96(1 << 94), OWNER)),
            "escrow"
        );
        expectError(I.AlreadyUsed.selector);
        vm.prank(OWNER);
        pox.request{value: record.price}(record);
    }

    function test_cancelForInOrder() public {
        bytes32 id = idOf(aRequest());
        bytes memory cancellation = signature(OWNER_KEY, records.cancellationId(domain(), id));
        expectPhaseError(I.Phase.None);
        pox.cancelFor(id, cancellation);
        sponsored(aRequest());
        bytes memory foreign = signature(ENCLAVE_KEY, records.cancellationId(domain(), id));
        expectError(I.BadSignature.selector);
        pox.cancelFor(id, foreign);
        vm.prank(OTHER);
        pox.cancelFor(id, cancellation);
        same(stateOf(id).phase, I.Phase.Cancelled, "phase");
        same(pox.credit(SPONSOR), aRequest().price, "price back");
    }

    function test_walletOwner() public {
        Wallet wallet = new Wallet(vm.addr(DELEGATE_KEY));
        I.Request memory record = aRequest();
        record.owner = address(wallet);
        record.delegate = vm.addr(DELEGATE_KEY);
        bytes32 id = idOf(record);
        for (uint256 mode = 1; mode <= 5; ++mode) {
            wallet.behave(mode);
            expectError(I.BadSignature.selector);
            vm.prank(SPONSOR);
            pox.requestFor{value: record.price}(record, signature(DELEGATE_KEY, id));
        }
        wallet.behave(0);
        expectError(I.BadSignature.selector);
        vm.prank(SPONSOR);
        pox.requestFor{value: record.price}(record, signature(OWNER_KEY, id));
        vm.prank(SPONSOR);
        pox.requestFor{value: record.price}(record, signature(DELEGATE_KEY, id));
        same(stateOf(id).owner, address(wallet), "owner");
        pox.cancelFor(id, signature(DELEGATE_KEY, records.cancellationId(domain(), id)));
        same(pox.credit(SPONSOR), record.price, "price back");
    }

    function test_onlyTheNamedOrListedProcessor() public {
        I.Request memory record = aRequest();
        (bytes32 root, bytes32[] memory path) = listWith(PROCESSOR);
        record.processors = root;
        request(record);
        failListed(record, new bytes32[](0));
        path[1] ^= bytes32(uint256(1));
        failListed(record, path);
        path[1] ^= bytes32(uint256(1));
        failListed(record, new bytes32[](33));
        expectError(I.NotYours.selector);
        matchItAs(record);
        vm.prank(PROCESSOR);
        pox.matchListed{value: anOffer().bond}(record, anOffer(), enclave, EVIDENCE, path);
        same(stateOf(idOf(record)).phase, I.Phase.Matched, "matched");

        record.processors = bytes32(uint256(uint160(PROCESSOR)));
        request(record);
        failListed(record, path);
        matchItAs(record);
        same(stateOf(idOf(record)).phase, I.Phase.Matched, "matched by the only one");

        record.processors = 0;
        request(record);
        failListed(record, path);
        failListed(record, new bytes32[](0));
    }

    /// @dev A node of the tree is no account's leaf, however it is cut.
    function testFuzz_listsTakeOnlyLeaves(address account, bytes32[] memory path) public view {
        (bytes32 root,) = listWith(PROCESSOR);
        if (account == PROCESSOR) account = OTHER;
        check(!records.isListed(root, account, path), "not listed");
    }

    function test_proveMany() public {
        bytes32 id = approved(aRequest(), anOffer());
        State memory before = stateOf(id);
        I.Receipt memory receipt = aReceipt(id);
        (bytes32 root, uint16 count) = (keccak256("members"), 65_535);
        bytes32 digest = records.archivedBatchId(domain(), records.receiptId(domain(), receipt), ARCHIVE, root, count);
        bytes memory by = signature(ENCLAVE_KEY, digest);
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, by);
        bytes memory plain = sign(ENCLAVE_KEY, receipt);
        expectError(I.BadSignature.selector);
        pox.proveMany(receipt, ARCHIVE, root, count, plain);
        expectError(I.BadSignature.selector);
        pox.proveMany(receipt, ARCHIVE, root, count - 1, by);
        expectError(I.BadSignature.selector);
        pox.proveMany(receipt, ARCHIVE, keccak256("others"), count, by);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Proven(id, PROCESSOR, receipt.results, receipt, ARCHIVE);
        vm.expectEmit(true, true, true, true, address(pox));
        emit I.Members(id, root, count);
        pox.proveMany(receipt, ARCHIVE, root, count, by);
        same(stateOf(id).phase, I.Phase.Proven, "proven");
        same(stateOf(id).history, records.extend(before.history, 9, digest, 1_000, START), "history");
        same(pox.credit(PROCESSOR), uint256(aRequest().price) + anOffer().bond, "paid");
    }

    function sponsored(I.Request memory record) private returns (bytes32 id) {
        bytes memory intent = signature(OWNER_KEY, idOf(record));
        vm.prank(SPONSOR);
        return pox.requestFor{value: record.price}(record, intent);
    }

    function matchIt(I.Request memory record) private {
        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), enclave, EVIDENCE);
    }

    function matchItAs(I.Request memory record) private {
        I.Offer memory terms = anOffer();
        vm.prank(PROCESSOR);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
    }

    function prove(bytes32 id, uint8 outcome) private {
        I.Receipt memory receipt = aReceipt(id);
        receipt.outcome = outcome;
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
    }

    function failRelease(I.Request memory record, uint8 party, bytes memory secret, bytes4 reason) private {
        expectError(reason);
        direct(OTHER);
        pox.release(record, party, enclave, secret);
    }

    function failListed(I.Request memory record, bytes32[] memory path) private {
        I.Offer memory terms = anOffer();
        expectError(I.NotYours.selector);
        vm.prank(PROCESSOR);
        pox.matchListed{value: terms.bond}(record, terms, enclave, EVIDENCE, path);
    }

    /// @dev The tree of spec §3.4 over three accounts, of which this is the first.
    function listWith(address account) private pure returns (bytes32 root, bytes32[] memory path) {
        path = new bytes32[](2);
        path[0] = leafOf(address(0x11));
        path[1] = leafOf(address(0x12));
        root = node(node(leafOf(account), path[0]), path[1]);
    }

    function leafOf(address account) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), account));
    }

    function node(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(uint8(1), a, b)) : keccak256(abi.encodePacked(uint8(1), b, a));
    }
}

/// @notice An account with code, which answers for one key, or in one of the ways in which it must not be believed.
contract Wallet {
    address private immutable _SIGNER;
    uint256 private _mode;

    constructor(address signer) {
        _SIGNER = signer;
    }

    function behave(uint256 mode) external {
        _mode = mode;
    }

    fallback(bytes calldata input) external returns (bytes memory) {
        if (_mode == 1) revert();
        if (_mode == 2) return "";
        if (_mode == 3) return abi.encodePacked(IERC1271.isValidSignature.selector);
        if (_mode == 4) return abi.encode(uint256(uint32(IERC1271.isValidSignature.selector)));
        if (_mode == 5) {
            // More than its gas allows.
            return new bytes(1 << 20);
        }
        (bytes32 digest, bytes memory signature) = abi.decode(input[4:], (bytes32, bytes));
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        bool valid = ecrecover(digest, uint8(signature[64]), r, s) == _SIGNER;
        return valid ? abi.encode(IERC1271.isValidSignature.selector) : abi.encode(0);
    }
}
