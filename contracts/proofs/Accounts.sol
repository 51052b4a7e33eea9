// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Records} from "../src/Records.sol";
import {Base} from "./Base.sol";

/// @notice Proofs of the calls that move no task.
contract AccountProofs is Base {
    /// @dev The sender is paid its whole credit, which was not zero, and has none any more; no task changes.
    function check_withdraw(bytes32 id) public {
        World memory w = anyWorld(id);
        uint256 before = sender.balance;
        vm.prank(sender, origin);
        pox.withdraw();

        Words memory t = checkAlways(w);
        assert(same(t, w.task));
        assert(pox.credit(sender) == 0 && w.ofSender != 0);
        unchecked {
            assert(sender.balance == before + w.ofSender);
            assert(address(pox).balance == w.balance - w.ofSender);
        }
        if (w.owner != sender) assert(pox.credit(w.owner) == w.ofOwner);
        if (w.payer != sender) assert(pox.credit(w.payer) == w.ofPayer);
        if (w.processor != sender) assert(pox.credit(w.processor) == w.ofProcessor);
    }

    /// @dev Not "if it is accepted": an account without code that has a credit gets it, if the contract has as much.
    function check_creditsCanBeWithdrawn() public {
        uint256 owed = pox.credit(sender);
        vm.assume(owed != 0 && owed <= address(pox).balance);
        uint256 before = sender.balance;
        vm.prank(sender, origin);
        (bool accepted,) = address(pox).call(abi.encodeCall(I.withdraw, ()));

        assert(accepted);
        unchecked {
            assert(sender.balance == before + owed);
        }
    }

    /// @dev Nothing changes; the sender is the offer's processor.
    function check_offer(I.Offer memory terms, bytes32 id, bytes32 other) public {
        World memory w = anyWorld(id);
        bool open = pox.isOpen(other);
        vm.prank(sender, origin);
        pox.offer(terms);

        Words memory t = checkAlways(w);
        assert(same(t, w.task));
        checkMoney(w, t, 0, 0, 0, 0);
        assert(sender == terms.processor && pox.isOpen(other) == open);
    }

    /// @dev That offer was open and is closed, and nothing else changes; the sender is its processor.
    function check_withdrawOffer(I.Offer memory terms, bytes32 id, bytes32 other) public {
        World memory w = anyWorld(id);
        bytes32 offer = Records.offerId(domain(), terms);
        (bool was, bool open) = (pox.isOpen(offer), pox.isOpen(other));
        vm.prank(sender, origin);
        pox.withdrawOffer(terms);

        Words memory t = checkAlways(w);
        assert(same(t, w.task));
        checkMoney(w, t, 0, 0, 0, 0);
        assert(sender == terms.processor && was && !pox.isOpen(offer));
        if (other != offer) assert(pox.isOpen(other) == open);
    }
}
