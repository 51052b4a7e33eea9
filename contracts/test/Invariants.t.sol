// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";
import {Walker} from "./Walker.sol";

/// @notice What holds after any walk, however it went.
contract InvariantsTest is Base {
    struct Selectors {
        address addr;
        bytes4[] selectors;
    }

    Walker private walker;

    function setUp() public override {
        walker = new Walker();
        walker.setUp();
        pox = walker.target();
    }

    function targetSelectors() public view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(walker), new bytes4[](10));
        // Steps forward are the likelier, so that a walk gets far.
        targets[0].selectors[0] = Walker.post.selector;
        targets[0].selectors[1] = Walker.move.selector;
        targets[0].selectors[2] = Walker.moveTwice.selector;
        targets[0].selectors[3] = Walker.moveThrice.selector;
        targets[0].selectors[4] = Walker.giveUp.selector;
        targets[0].selectors[5] = Walker.withdraw.selector;
        targets[0].selectors[6] = Walker.lie.selector;
        targets[0].selectors[7] = Walker.pass.selector;
        targets[0].selectors[8] = Walker.replay.selector;
        targets[0].selectors[9] = Walker.moody.selector;
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(walker);
    }

    function invariant_all() public view {
        balanceIsWhatIsOwed();
        creditsFollowTheTable();
        tasksFollowTheirSteps();
        nobodyIsPaidTwice();
    }

    /// @dev No money is made or lost: the balance is what is escrowed, pledged and credited, by the contract's own word.
    function balanceIsWhatIsOwed() private view {
        uint256 owed = 0;
        for (uint256 i = 0; i < walker.tasks(); ++i) {
            State memory s = stateOf(walker.taskAt(i));
            owed += uint256(s.price) + s.bond;
        }
        for (uint256 i = 0; i < walker.ACTORS(); ++i) {
            owed += pox.credit(walker.actor(i));
        }
        same(address(pox).balance, owed, "balance");
    }

    /// @dev Each account is owed exactly what the table of spec §4 gives it: a processor the whole price or nothing.
    function creditsFollowTheTable() private view {
        for (uint256 i = 0; i < walker.ACTORS(); ++i) {
            same(pox.credit(walker.actor(i)), walker.credited(walker.actor(i)), "credit");
        }
    }

    /// @dev Storage says of each task what the steps that were accepted say, the history above all; so an ended task, which
    /// accepts no step, never changes.
    function tasksFollowTheirSteps() private view {
        for (uint256 i = 0; i < walker.tasks(); ++i) {
            bytes32 id = walker.taskAt(i);
            same(keccak256(abi.encode(stateOf(id))), keccak256(abi.encode(walker.modelOf(id))), "task");
        }
    }

    /// @dev Whoever calls back while it is paid is paid no more by it.
    function nobodyIsPaidTwice() private view {
        same(walker.greedy().taken(), 0, "a nested call was accepted");
    }

    /// @dev After any walk time alone ends every task, and then everybody can take out what is theirs, to the last wei.
    function afterInvariant() public {
        walker.endByTime();
        same(address(pox).balance, 0, "all paid out");
    }

    /// @dev The walk is worth something: it takes every step of spec §5.1, and the greedy account is paid.
    function test_walkTakesEveryStep() public {
        for (uint256 seed = 0; seed < 600; ++seed) {
            uint256 s = uint256(keccak256(abi.encode(seed)));
            if (s % 12 < 2) walker.post(s >> 8, s >> 16);
            else if (s % 12 < 8) walker.move(s >> 8, s >> 16);
            else if (s % 12 < 9) walker.giveUp(s >> 8, s >> 16);
            else if (s % 12 < 10) walker.withdraw(s >> 8);
            else if (s % 12 < 11) walker.lie(s >> 8, s >> 16);
            else walker.pass(s >> 8);
            if (seed % 100 == 99) {
                invariant_all();
                walker.endByTime();
                walker.begin();
            }
        }
        for (uint256 code = 1; code <= 9; ++code) {
            check(walker.taken(code) != 0, string.concat("step never taken: ", vm.toString(code)));
        }
        check(walker.greedy().paid() != 0, "the greedy account was never paid");
    }
}
