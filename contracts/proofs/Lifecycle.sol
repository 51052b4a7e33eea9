// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Records} from "../src/Records.sol";
import {Base} from "./Base.sol";

/// @notice One proof per call that moves a task.
contract LifecycleProofs is Base {
    /// @dev A new task; the sender is its owner, and has paid exactly the price, in time.
    /// @custom:halmos --array-lengths record.coOwners={0,1}
    function check_request(I.Request memory record, uint256 value) public {
        World memory w = anyWorld(Records.requestId(domain(), record));
        vm.assume(value < MUCH);
        vm.prank(sender, origin);
        pox.request{value: value}(record);

        assert(sender == record.owner);
        checkRequested(w, record, value, 0);
    }

    /// @dev A new task that its owner signed; the sender has paid exactly the price, and is the sponsor.
    function check_requestFor(I.Request memory record, bytes32 r, bytes32 s, uint8 v, uint256 value) public {
        World memory w = anyWorld(Records.requestId(domain(), record));
        vm.assume(value < MUCH);
        vm.prank(sender, origin);
        pox.requestFor{value: value}(record, abi.encodePacked(r, s, v));

        checkSignature(record.owner, w.id, r, s, v);
        checkRequested(w, record, value, uint160(sender));
    }

    /// @dev Requested to Matched; the sender is the offer's processor and one that the request lets match, in time of both, for
    /// exactly the bond.
    /// @custom:halmos --array-lengths record.coOwners={0,1}
    function check_match(I.Request memory record, I.Offer memory terms, address enclave, bytes32 evidence, uint256 value)
        public
    {
        World memory w = accepted(record);
        vm.assume(value < MUCH);
        // Of a free offer: a product of two unknowns is beyond the prover. The fuzz tests and the differential have all prices.
        terms.pricePerSecond = 0;
        vm.prank(sender, origin);
        pox.matchTask{value: value}(record, terms, enclave, abi.encode(evidence));

        assert(record.processors == 0 || record.processors == bytes32(uint256(uint160(sender))));
        checkMatched(w, record, terms, enclave, value);
    }

    /// @dev The same with a list of two, on which the sender is.
    function check_matchListed(I.Request memory record, I.Offer memory terms, address enclave, bytes32 sibling, uint256 value)
        public
    {
        World memory w = accepted(record);
        vm.assume(value < MUCH);
        terms.pricePerSecond = 0;
        bytes32[] memory path = new bytes32[](1);
        path[0] = sibling;
        vm.prank(sender, origin);
        pox.matchListed{value: value}(record, terms, enclave, "", path);

        bytes32 leaf = keccak256(abi.encodePacked(uint8(0), sender));
        (bytes32 low, bytes32 high) = leaf < sibling ? (leaf, sibling) : (sibling, leaf);
        assert(record.processors == keccak256(abi.encodePacked(uint8(1), low, high)));
        checkMatched(w, record, terms, enclave, value);
    }

    /// @dev Matched with this enclave to Requested in time; the sender is the owner, its delegate or a co-owner, and the bond is the processor's.
    function check_reject(I.Request memory record, address enclave, uint8 reason) public {
        World memory w = accepted(record);
        vm.prank(sender, origin);
        pox.reject(record, enclave, reason);

        assert(enclave == enclaveOf(w.task));
        bool isOwner = sender == record.owner || sender == record.delegate;
        assert(isOwner || (record.coOwners.length == 1 && sender == record.coOwners[0].account));
        checkRejected(w, isOwner ? record.owner : sender, reason);
    }

    /// @dev The same by the signature of the party, over this task, enclave and reason.
    function check_rejectFor(
        I.Request memory record,
        bool isOwner,
        address enclave,
        uint8 reason,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) public {
        World memory w = accepted(record);
        uint8 party = isOwner ? 0 : 1;
        vm.prank(sender, origin);
        pox.rejectFor(record, party, enclave, reason, abi.encodePacked(r, s, v));

        assert(enclave == enclaveOf(w.task));
        (address account, address signer) = partyOf(record, party);
        checkSignature(signer, Records.refusalId(domain(), w.id, enclave, reason), r, s, v);
        checkRejected(w, account, reason);
    }

    /// @dev Matched to Approved in time, by the owner's signature over this enclave and secret, in a transaction of its own.
    function check_approve(bytes32 id, address enclave, bytes32 r, bytes32 s, uint8 v, bytes32 secret) public {
        World memory w = anyWorld(id);
        vm.prank(sender, origin);
        pox.approve(id, enclave, abi.encodePacked(r, s, v, secret));

        Words memory t = checkReleased(w, enclave);
        assert(missingOf(w.task) == 0);
        assert(phaseOf(t) == I.Phase.Approved && deadlineOf(t) == time + withinOf(w.task));
        checkSignature(w.owner, Records.releaseId(domain(), id, enclave, keccak256(abi.encode(secret))), r, s, v);
    }

    /// @dev One party that was missing is not any more, by its signature; the last one makes it Approved.
    function check_release(
        I.Request memory record,
        bool isOwner,
        address enclave,
        bytes32 r,
        bytes32 s,
        uint8 v,
        bytes32 secret
    ) public {
        World memory w = accepted(record);
        uint8 party = isOwner ? 0 : 1;
        vm.prank(sender, origin);
        pox.release(record, party, enclave, abi.encodePacked(r, s, v, secret));

        Words memory t = checkReleased(w, enclave);
        uint256 bit = isOwner ? 1 : 2;
        assert(missingOf(w.task) & bit != 0);
        if (missingOf(w.task) == bit) {
            assert(phaseOf(t) == I.Phase.Approved && deadlineOf(t) == time + withinOf(w.task));
        } else {
            assert(phaseOf(t) == I.Phase.Matched && deadlineOf(t) == deadlineOf(w.task));
            assert(missingOf(t) == missingOf(w.task) ^ bit);
        }
        (, address signer) = partyOf(record, party);
        checkSignature(signer, Records.releaseId(domain(), w.id, enclave, keccak256(abi.encode(secret))), r, s, v);
    }

    /// @dev Approved to Proven in time, by the enclave's signature over this task's receipt; the processor has the whole price or
    /// none of it, and so for the bond, by the table of spec §6.1.
    function check_prove(I.Receipt memory receipt, bytes32 archive, bytes32 r, bytes32 s, uint8 v) public {
        World memory w = anyWorld(receipt.task);
        vm.prank(sender, origin);
        pox.prove(receipt, archive, abi.encodePacked(r, s, v));

        bytes32 signed = Records.archivedReceiptId(domain(), Records.receiptId(domain(), receipt), archive);
        checkSignature(receipt.enclave, signed, r, s, v);
        checkProven(w, receipt, 5, signed);
    }

    /// @dev The same for a batch, by a signature that covers its members too.
    function check_proveMany(
        I.Receipt memory receipt,
        bytes32 archive,
        bytes32 members,
        uint16 count,
        bytes32 r,
        bytes32 s,
        uint8 v
    ) public {
        World memory w = anyWorld(receipt.task);
        vm.prank(sender, origin);
        pox.proveMany(receipt, archive, members, count, abi.encodePacked(r, s, v));

        bytes32 signed = Records.archivedBatchId(domain(), Records.receiptId(domain(), receipt), archive, members, count);
        checkSignature(receipt.enclave, signed, r, s, v);
        checkProven(w, receipt, 9, signed);
    }

    /// @dev Requested to Cancelled, by the owner; whoever paid has the price.
    function check_cancel(bytes32 id) public {
        World memory w = anyWorld(id);
        vm.prank(sender, origin);
        pox.cancel(id);

        assert(sender == w.owner);
        checkCancelled(w);
    }

    /// @dev The same by the owner's signature.
    function check_cancelFor(bytes32 id, bytes32 r, bytes32 s, uint8 v) public {
        World memory w = anyWorld(id);
        vm.prank(sender, origin);
        pox.cancelFor(id, abi.encodePacked(r, s, v));

        checkSignature(w.owner, Records.cancellationId(domain(), id), r, s, v);
        checkCancelled(w);
    }

    /// @dev Late, anything live to Expired, by anyone; whoever paid has the price, and the bond goes by the phase.
    function check_expire(I.Request memory record) public {
        World memory w = accepted(record);
        vm.prank(sender, origin);
        pox.expire(record);

        Words memory t = checkAlways(w);
        I.Phase from = phaseOf(w.task);
        assert(phaseOf(t) == I.Phase.Expired && ownerOf(t) == w.owner);
        assert(t.history == extended(w, 7, 0));
        (uint256 price, uint256 bond) = (priceOf(w.task), bondOf(w.task));
        if (from == I.Phase.Requested) {
            assert(time > record.matchBy);
            checkMoney(w, t, 0, price, 0, 0);
        } else {
            assert(from == I.Phase.Matched || from == I.Phase.Approved);
            assert(time > deadlineOf(w.task));
            if (from == I.Phase.Matched) checkMoney(w, t, 0, price, 0, bond);
            else checkMoney(w, t, 0, price, bond, 0);
        }
    }

    /// @dev Not "if it is accepted": whatever is live and late can be ended, by anyone, with nobody else's help.
    function check_timeEndsEveryTask(I.Request memory record) public {
        World memory w = accepted(record);
        I.Phase phase = phaseOf(w.task);
        vm.assume(phase == I.Phase.Requested || phase == I.Phase.Matched || phase == I.Phase.Approved);
        vm.assume(time > (phase == I.Phase.Requested ? record.matchBy : deadlineOf(w.task)));
        vm.prank(sender, origin);
        (bool done,) = address(pox).call(abi.encodeCall(I.expire, (record)));

        assert(done);
    }

    function checkRequested(World memory w, I.Request memory record, uint256 value, uint256 sponsor) private view {
        Words memory t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.None && phaseOf(t) == I.Phase.Requested);
        assert(ownerOf(t) == record.owner && t.sponsor == sponsor);
        assert(value == record.price && priceOf(t) == value);
        assert(time <= record.matchBy && record.matchBy <= time + 365 days);
        // What later calls rely on.
        assert(record.owner != address(0));
        assert(record.approveWithin <= 30 days && record.proveWithin <= 365 days);
        for (uint256 i = 0; i < record.coOwners.length; ++i) {
            assert(record.coOwners[i].account != address(0));
        }
        assert(t.history == Records.extend(0, 1, w.id, block.number, time));
        checkMoney(w, t, value, 0, 0, 0);
    }

    /// @dev A task of this record: its request was accepted, so its bounds held, which checkRequested proves.
    function accepted(I.Request memory record) private view returns (World memory w) {
        w = anyWorld(Records.requestId(domain(), record));
        vm.assume(w.task.escrow == 0 || w.owner == record.owner);
        vm.assume(record.owner != address(0));
        vm.assume(record.approveWithin <= 30 days && record.proveWithin <= 365 days);
        for (uint256 i = 0; i < record.coOwners.length; ++i) {
            vm.assume(record.coOwners[i].account != address(0));
        }
    }

    function checkMatched(World memory w, I.Request memory record, I.Offer memory terms, address enclave, uint256 value)
        private
        view
    {
        Words memory t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.Requested && phaseOf(t) == I.Phase.Matched);
        assert(sender == terms.processor && processorOf(t) == sender);
        assert(value == terms.bond && bondOf(t) == value);
        assert(enclaveOf(t) == enclave);
        assert(t.escrow == w.task.escrow && t.sponsor == w.task.sponsor);
        assert(time <= record.matchBy && time <= terms.validUntil);
        assert(deadlineOf(t) == time + record.approveWithin && withinOf(t) == record.proveWithin);
        bool alone = record.coOwners.length == 0 && record.delegate == address(0);
        assert(missingOf(t) == (alone ? 0 : record.coOwners.length == 0 ? 1 : 3));
        checkMoney(w, t, value, 0, 0, 0);
    }

    function checkRejected(World memory w, address account, uint8 reason) private view {
        Words memory t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.Matched && phaseOf(t) == I.Phase.Requested);
        assert(time <= deadlineOf(w.task));
        assert(t.escrow == w.task.escrow && t.sponsor == w.task.sponsor);
        assert(t.history == extended(w, 3, Records.rejectPayload(account, reason)));
        checkMoney(w, t, 0, 0, 0, bondOf(w.task));
    }

    function checkReleased(World memory w, address enclave) private view returns (Words memory t) {
        t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.Matched && time <= deadlineOf(w.task));
        assert(enclave == enclaveOf(w.task) && enclave == enclaveOf(t));
        assert(sender == origin);
        assert(t.escrow == w.task.escrow && t.pledge == w.task.pledge && t.sponsor == w.task.sponsor);
        checkMoney(w, t, 0, 0, 0, 0);
    }

    function checkProven(World memory w, I.Receipt memory receipt, uint256 step, bytes32 signed) private view {
        Words memory t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.Approved && phaseOf(t) == I.Phase.Proven);
        assert(time <= deadlineOf(w.task) && receipt.enclave == enclaveOf(w.task));
        assert(t.history == extended(w, step, signed));
        (uint256 price, uint256 bond) = (priceOf(w.task), bondOf(w.task));
        assert(receipt.outcome < 64);
        if (receipt.outcome < 32) checkMoney(w, t, 0, 0, 0, price + bond);
        else if (receipt.outcome < 48) checkMoney(w, t, 0, price, 0, bond);
        else checkMoney(w, t, 0, price, bond, 0);
    }

    function checkCancelled(World memory w) private view {
        Words memory t = checkAlways(w);
        assert(phaseOf(w.task) == I.Phase.Requested && phaseOf(t) == I.Phase.Cancelled);
        assert(ownerOf(t) == w.owner);
        assert(t.history == extended(w, 6, 0));
        checkMoney(w, t, 0, priceOf(w.task), 0, 0);
    }

    /// @dev In the one canonical form, by somebody who is not nobody.
    function checkSignature(address signer, bytes32 digest, bytes32 r, bytes32 s, uint8 v) private pure {
        assert(ecrecover(digest, v, r, s) == signer && signer != address(0));
        assert(uint256(s) <= MAX_S && (v == 27 || v == 28));
    }

    function partyOf(I.Request memory record, uint8 party) private pure returns (address account, address signer) {
        if (party == 0) return (record.owner, record.delegate == address(0) ? record.owner : record.delegate);
        assert(party == 1 && record.coOwners.length == 1);
        return (record.coOwners[0].account, record.coOwners[0].account);
    }
}
