// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "../src/IERC1271.sol";
import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";

/// @notice Attacks on what others post for a party: signed requests, releases, refusals and cancellations, lists and batches.
contract ConsentTest is Base {
    uint256 private constant SECOND_KEY = 0x5ec0bd;

    /// @dev A signature that recovers to nobody, for a request of nobody.
    function test_nobodyOwnsNothing() public {
        I.Request memory record = aRequest();
        record.owner = address(0);
        expectError(I.BadRecord.selector, 0);
        pox.requestFor{value: record.price}(record, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
    }

    function test_signedRequestIsCanonicalAndServesOnce() public {
        I.Request memory record = aRequest();
        bytes32 id = idOf(record);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, id);
        badRequest(record, abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)));
        badRequest(record, abi.encodePacked(r, s, v - 27));
        badRequest(record, abi.encodePacked(r, s));
        badRequest(record, abi.encodePacked(r, s, v, uint8(0)));
        badRequest(record, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        badRequest(record, signature(SECOND_KEY, id));
        // Signed for another contract, or for another chain.
        badRequest(record, signature(OWNER_KEY, records.requestId(records.domain(CHAIN_ID, OTHER), record)));
        badRequest(record, signature(OWNER_KEY, records.requestId(records.domain(CHAIN_ID + 1, address(pox)), record)));
        // Any change of the record.
        record.price += 1;
        badRequest(record, abi.encodePacked(r, s, v));
        record.price -= 1;
        vm.deal(OTHER, 1 ether);
        vm.prank(OTHER);
        pox.requestFor{value: record.price}(record, abi.encodePacked(r, s, v));
        vm.prank(OTHER);
        expectError(I.AlreadyUsed.selector);
        pox.requestFor{value: record.price}(record, abi.encodePacked(r, s, v));
        // Nor after an end.
        bytes memory cancellation = signature(OWNER_KEY, records.cancellationId(domain(), id));
        pox.cancelFor(id, cancellation);
        expectError(I.AlreadyUsed.selector);
        pox.requestFor{value: record.price}(record, abi.encodePacked(r, s, v));
        expectPhaseError(I.Phase.Cancelled);
        pox.cancelFor(id, cancellation);
        same(pox.credit(OTHER), record.price, "the sponsor has its price back");
        same(pox.credit(OWNER), 0, "and the owner has not");
    }

    /// @dev Somebody sees a signed request in the pool and posts it first. It pays, and gets what it paid and nothing else.
    function test_frontRunSponsorPays() public {
        I.Request memory record = aRequest();
        bytes memory consent = signature(OWNER_KEY, idOf(record));
        vm.deal(OTHER, 1 ether);
        vm.prank(OTHER);
        pox.requestFor{value: record.price}(record, consent);
        vm.prank(OWNER);
        expectError(I.AlreadyUsed.selector);
        pox.request{value: record.price}(record);
        // It is the owner's task all the same.
        bytes32 id = idOf(record);
        vm.prank(OTHER);
        expectError(I.NotYours.selector);
        pox.cancel(id);
        vm.prank(OWNER);
        pox.cancel(id);
        same(pox.credit(OTHER), record.price, "back");
    }

    /// @dev Wallets that lie, burn gas, answer with a bomb, answer too little, or try to act while they are asked.
    function test_hostileWallets() public {
        for (uint256 kind = 0; kind < 7; ++kind) {
            I.Request memory record = aRequest();
            record.owner = address(new HostileWallet(pox, kind));
            record.salt = bytes32(kind);
            vm.deal(OTHER, 1 ether);
            vm.prank(OTHER);
            (bool accepted, bytes memory reason) =
                address(pox).call{value: record.price, gas: 1_500_000}(abi.encodeCall(I.requestFor, (record, "")));
            check(!accepted, "refused");
            same(bytes4(reason), I.BadSignature.selector, "for the signature");
        }
        same(address(pox).balance, 0, "nothing came in");
    }

    /// @dev A task with co-owners waits for each, in any order, and for nobody twice; `approve` does not get around them.
    function test_everyPartyHasToRelease() public {
        I.Request memory record = shared();
        bytes32 id = matched(record, anOffer());
        bytes memory ownersSecret = release(DELEGATE_KEY, id, enclave, SEALED);
        bytes memory seconds_ = release(SECOND_KEY, id, enclave, SEALED);
        bytes memory own = secretFor(id, enclave);
        direct(OTHER);
        expectError(I.NeedsRelease.selector);
        pox.approve(id, enclave, own);
        // The owner's own key does not sign where it has a delegate; nor does one party for another.
        badRelease(record, 0, own, I.BadSignature.selector);
        badRelease(record, 0, seconds_, I.BadSignature.selector);
        badRelease(record, 1, ownersSecret, I.BadSignature.selector);
        badRelease(record, 2, seconds_, I.NotYours.selector);
        badRelease(record, 255, seconds_, I.NotYours.selector);
        direct(OTHER);
        pox.release(record, 1, enclave, seconds_);
        badRelease(record, 1, seconds_, I.NotMissing.selector);
        same(stateOf(id).phase, I.Phase.Matched, "the owner's is missing");
        direct(OTHER);
        pox.release(record, 0, enclave, ownersSecret);
        same(stateOf(id).phase, I.Phase.Approved, "all have released");
        direct(OTHER);
        expectPhaseError(I.Phase.Approved);
        pox.release(record, 0, enclave, ownersSecret);
    }

    /// @dev A refusal by one voids what others released: the next enclave needs every release anew.
    function test_aRefusalVoidsReleases() public {
        I.Request memory record = shared();
        bytes32 id = matched(record, anOffer());
        bytes memory old = release(SECOND_KEY, id, enclave, SEALED);
        direct(OTHER);
        pox.release(record, 1, enclave, old);
        bytes memory refusal = signature(DELEGATE_KEY, records.refusalId(domain(), id, enclave, 3));
        // Only as it was signed: by that party, for that enclave and reason.
        badRefusal(record, 1, enclave, 3, refusal, I.BadSignature.selector);
        badRefusal(record, 0, OTHER, 3, refusal, I.WrongEnclave.selector);
        badRefusal(record, 0, enclave, 4, refusal, I.BadSignature.selector);
        pox.rejectFor(record, 0, enclave, 3, refusal);
        same(stateOf(id).missing, 0, "nobody is waited for");
        address next = vm.addr(ENCLAVE_KEY + 1);
        vm.prank(PROCESSOR);
        pox.matchTask{value: anOffer().bond}(record, anOffer(), next, EVIDENCE);
        same(stateOf(id).missing, 3, "everybody is missing again");
        badRelease(record, 1, old, I.WrongEnclave.selector);
        badRefusal(record, 0, enclave, 3, refusal, I.WrongEnclave.selector);
        badRefusal(record, 0, next, 3, refusal, I.BadSignature.selector);
    }

    /// @dev A release through a contract would be in no transaction's input: the processor could not find the secret.
    function test_secretsComeInTransactionsOfTheirOwn() public {
        bytes32 id = matched(aRequest(), anOffer());
        bytes memory secret = secretFor(id, enclave);
        vm.prank(OWNER, OTHER);
        expectError(I.NotDirect.selector);
        pox.approve(id, enclave, secret);
        // An account with a key can have code too (EIP-7702): its own transaction's call to itself could make this one.
        vm.etch(OWNER, abi.encodePacked(hex"ef0100", OTHER));
        expectError(I.NotDirect.selector);
        direct(OWNER);
        pox.approve(id, enclave, secret);
        direct(OTHER);
        pox.approve(id, enclave, secret);
    }

    /// @dev Paths that are no members': an inner node as a leaf, a path that is too short, too long, or somebody else's.
    function test_listsHaveOnlyTheirMembers() public {
        bytes32 left = leafOf(PROCESSOR);
        bytes32 right = leafOf(OTHER);
        bytes32 inner = nodeOf(left, right);
        I.Request memory record = aRequest();
        record.processors = nodeOf(inner, leafOf(OWNER));
        request(record);
        bytes32[] memory path = new bytes32[](2);
        (path[0], path[1]) = (right, leafOf(OWNER));
        notListed(record, new bytes32[](0));
        notListed(record, cut(path, 1));
        (path[0], path[1]) = (left, leafOf(OWNER));
        notListed(record, path);
        notListed(record, new bytes32[](33));
        (path[0], path[1]) = (leafOf(OWNER), right);
        notListed(record, path);
        // The list itself is no account, and no list is a list.
        vm.prank(PROCESSOR);
        expectError(I.NotYours.selector);
        pox.matchTask{value: 500}(record, anOffer(), enclave, EVIDENCE);
        (path[0], path[1]) = (right, leafOf(OWNER));
        vm.prank(PROCESSOR);
        pox.matchListed{value: 500}(record, anOffer(), enclave, EVIDENCE, path);
    }

    /// @dev An open request and one for an account take no list.
    function test_noListIsNoList() public {
        I.Request memory record = aRequest();
        request(record);
        notListed(record, new bytes32[](0));
        record.processors = bytes32(uint256(uint160(PROCESSOR)));
        request(record);
        notListed(record, new bytes32[](0));
        // An account with bits above it is none.
        record.processors |= bytes32(uint256(1) << 160);
        request(record);
        vm.prank(PROCESSOR);
        expectError(I.NotYours.selector);
        pox.matchTask{value: 500}(record, anOffer(), enclave, EVIDENCE);
    }

    /// @dev What an enclave signed for one task proves no batch, nor the other way round, nor with other members.
    function test_batchesAreSignedAsBatches() public {
        I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
        bytes32 digest = records.archivedBatchId(domain(), records.receiptId(domain(), receipt), ARCHIVE, "members", 9);
        bytes memory batch = signature(ENCLAVE_KEY, digest);
        badBatch(receipt, "members", 9, sign(ENCLAVE_KEY, receipt), I.BadSignature.selector);
        badBatch(receipt, "members", 10, batch, I.BadSignature.selector);
        badBatch(receipt, "others", 9, batch, I.BadSignature.selector);
        expectError(I.BadSignature.selector);
        pox.prove(receipt, ARCHIVE, batch);
        pox.proveMany(receipt, ARCHIVE, "members", 9, batch);
        badBatch(receipt, "members", 9, batch, I.WrongPhase.selector);
    }

    /// @dev With a co-owner, and a delegate of the owner.
    function shared() private pure returns (I.Request memory record) {
        record = aRequest();
        record.delegate = vm.addr(DELEGATE_KEY);
        record.coOwners = new I.CoOwner[](1);
        record.coOwners[0] = I.CoOwner(vm.addr(SECOND_KEY), 1);
    }

    function badRequest(I.Request memory record, bytes memory consent) private {
        expectError(I.BadSignature.selector);
        pox.requestFor{value: record.price}(record, consent);
    }

    function badRelease(I.Request memory record, uint8 party, bytes memory secret, bytes4 why) private {
        direct(OTHER);
        expectError(why);
        pox.release(record, party, enclave, secret);
    }

    function badRefusal(I.Request memory record, uint8 party, address to, uint8 reason, bytes memory refusal, bytes4 why)
        private
    {
        expectError(why);
        pox.rejectFor(record, party, to, reason, refusal);
    }

    function badBatch(I.Receipt memory receipt, bytes32 members, uint16 count, bytes memory proof, bytes4 why) private {
        if (why == I.WrongPhase.selector) expectPhaseError(I.Phase.Proven);
        else expectError(why);
        pox.proveMany(receipt, ARCHIVE, members, count, proof);
    }

    function notListed(I.Request memory record, bytes32[] memory path) private {
        vm.prank(PROCESSOR);
        expectError(I.NotYours.selector);
        pox.matchListed{value: 500}(record, anOffer(), enclave, EVIDENCE, path);
    }

    function leafOf(address account) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), account));
    }

    function nodeOf(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(uint8(1), a, b)) : keccak256(abi.encodePacked(uint8(1), b, a));
    }

    function cut(bytes32[] memory whole, uint256 length) private pure returns (bytes32[] memory part) {
        part = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = whole[i];
        }
    }
}

/// @notice An account that is asked whose a signature is, and answers badly.
contract HostileWallet {
    I private immutable POX;
    uint256 private immutable KIND;

    constructor(I pox, uint256 kind) {
        (POX, KIND) = (pox, kind);
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        if (KIND == 0) return 0xffffffff;
        if (KIND == 1) revert("no");
        if (KIND == 2) while (true) {}
        if (KIND == 3) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 4)
            }
        }
        if (KIND == 4) {
            assembly {
                return(0, 1000000)
            }
        }
        // It would be a reentrant call: the question is asked without leave to change anything.
        if (KIND == 5) POX.withdraw();
        // The right answer, with more in the word than it.
        if (KIND == 6) {
            assembly {
                mstore(0, or(shl(224, 0x1626ba7e), 1))
                return(0, 32)
            }
        }
        return IERC1271.isValidSignature.selector;
    }

    receive() external payable {}
}
