// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Records} from "../src/Records.sol";

/// @notice The cheat codes of halmos that these proofs use.
interface Svm {
    function enableSymbolicStorage(address account) external;
    function createUint256(string calldata name) external pure returns (uint256);
    function createBytes32(string calldata name) external pure returns (bytes32);
    function createAddress(string calldata name) external pure returns (address);
}

interface Vm {
    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function deal(address account, uint256 amount) external;
    function prank(address sender, address origin) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function assume(bool condition) external pure;
    function getCode(string calldata file) external view returns (bytes memory);
}

/// @notice Proofs by induction. The committed bytecode runs one call, from any storage that `isSound`, by any sender, at any
/// time; afterwards the storage `isSound` again, the task took a step of spec §4 by the party whose step it is, and all money
/// is where it was or where the table says. Every reachable state is sound: the empty one is, and each call keeps it so.
abstract contract Base {
    /// @dev What storage says of one task.
    struct Words {
        uint256 escrow;
        uint256 run;
        uint256 pledge;
        bytes32 history;
        uint256 sponsor;
    }

    /// @dev The task of a call, whoever it concerns, and a stranger's task and a bystander's credit that stand for all others.
    struct World {
        bytes32 id;
        Words task;
        uint256 balance;
        address owner;
        address payer;
        address processor;
        uint256 ofOwner;
        uint256 ofPayer;
        uint256 ofProcessor;
        uint256 ofSender;
        bytes32 stranger;
        Words strangers;
        address bystander;
        uint256 ofBystander;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

    uint256 internal constant ENDED = 1 << 255;
    uint256 internal constant SPONSORED = 1 << 254;
    /// @dev Half the order of secp256k1.
    uint256 internal constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    /// @dev Above all the wei of any chain: a thousand billion coins.
    uint256 internal constant MUCH = 1 << 120;
    /// @dev Times of 40 bits, less the longest that a record can add: until the year 36,000.
    uint256 internal constant LATE = (1 << 40) - 366 days;

    I internal pox;
    uint256 internal time;
    address internal sender;
    address internal origin;

    function setUp() public {
        bytes memory code = vm.getCode("out-proofs/committed.json");
        address deployed;
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        pox = I(deployed);
        svm.enableSymbolicStorage(deployed);
        time = svm.createUint256("time");
        vm.assume(time < LATE);
        vm.warp(time);
        vm.roll(svm.createUint256("number"));
        sender = svm.createAddress("sender");
        origin = svm.createAddress("origin");
        // Nobody calls from the zero address.
        vm.assume(sender != deployed && sender != address(this) && sender != address(0));
        uint256 held = svm.createUint256("balance");
        vm.assume(held < MUCH);
        vm.deal(deployed, held);
        vm.deal(sender, MUCH);
    }

    /// @dev Any state before a call on `id`.
    function anyWorld(bytes32 id) internal view returns (World memory w) {
        w.id = id;
        w.task = wordsOf(id);
        vm.assume(isSound(w.task));
        w.balance = address(pox).balance;
        (w.owner, w.processor) = (ownerOf(w.task), processorOf(w.task));
        w.payer = w.task.escrow & SPONSORED != 0 && w.task.escrow & ENDED == 0 ? address(uint160(w.task.sponsor)) : w.owner;
        (w.ofOwner, w.ofPayer) = (pox.credit(w.owner), pox.credit(w.payer));
        (w.ofProcessor, w.ofSender) = (pox.credit(w.processor), pox.credit(sender));
        vm.assume((w.ofOwner | w.ofPayer | w.ofProcessor | w.ofSender) < MUCH);
        w.stranger = svm.createBytes32("stranger");
        vm.assume(w.stranger != id);
        w.strangers = wordsOf(w.stranger);
        w.bystander = svm.createAddress("bystander");
        vm.assume(w.bystander != w.owner);
        vm.assume(w.bystander != w.payer);
        vm.assume(w.bystander != w.processor);
        vm.assume(w.bystander != sender);
        w.ofBystander = pox.credit(w.bystander);
    }

    /// @dev What holds after any call that was accepted.
    function checkAlways(World memory w) internal view returns (Words memory after_) {
        after_ = wordsOf(w.id);
        assert(isSound(after_));
        // An end is an end.
        if (w.task.escrow & ENDED != 0) assert(same(w.task, after_));
        // Others' tasks and credits are as they were.
        assert(same(w.strangers, wordsOf(w.stranger)));
        assert(pox.credit(w.bystander) == w.ofBystander);
    }

    /// @dev No money is made or lost, and it is where the table says: the balance changed by what was paid in, each credit by what
    /// its account is due in all the parts that it plays, and the task holds what is left.
    function checkMoney(World memory w, Words memory t, uint256 paidIn, uint256 toPayer, uint256 toOwner, uint256 toProcessor)
        internal
        view
    {
        unchecked {
            assert(address(pox).balance == w.balance + paidIn);
            assert(heldBy(w.task) + paidIn == heldBy(t) + toPayer + toOwner + toProcessor);
            assert(pox.credit(w.owner) == withDue(w, w.owner, w.ofOwner, toPayer, toOwner, toProcessor));
            assert(pox.credit(w.payer) == withDue(w, w.payer, w.ofPayer, toPayer, toOwner, toProcessor));
            assert(pox.credit(w.processor) == withDue(w, w.processor, w.ofProcessor, toPayer, toOwner, toProcessor));
            assert(pox.credit(sender) == withDue(w, sender, w.ofSender, toPayer, toOwner, toProcessor));
        }
    }

    /// @dev Added in the order in which the contract adds, which spares the prover a proof that the order does not matter.
    function withDue(World memory w, address account, uint256 had, uint256 toPayer, uint256 toOwner, uint256 toProcessor)
        private
        pure
        returns (uint256)
    {
        unchecked {
            return ((had + given(account == w.payer, toPayer)) + given(account == w.owner, toOwner))
                + given(account == w.processor, toProcessor);
        }
    }

    function wordsOf(bytes32 id) internal view returns (Words memory words) {
        uint256 base = uint256(keccak256(abi.encode(id, uint256(0))));
        words.escrow = uint256(vm.load(address(pox), bytes32(base)));
        words.run = uint256(vm.load(address(pox), bytes32(base + 1)));
        words.pledge = uint256(vm.load(address(pox), bytes32(base + 2)));
        words.history = vm.load(address(pox), bytes32(base + 3));
        words.sponsor = uint256(vm.load(address(pox), bytes32(base + 4)));
    }

    /// @dev The layout of spec §5.3, and what it says of the words together.
    function isSound(Words memory w) internal pure returns (bool) {
        if (w.escrow & ENDED != 0) {
            uint256 end = (w.escrow >> 160) & 0xff;
            bool isEnd = end >= uint256(I.Phase.Proven) && end <= uint256(I.Phase.Expired);
            return isEnd && (w.escrow >> 168 ^ ENDED >> 168) | w.run | w.pledge | w.sponsor == 0 && uint160(w.escrow) != 0;
        }
        if (w.escrow == 0) return uint256(w.history) | w.run | w.pledge | w.sponsor == 0;
        if (uint160(w.escrow) == 0 || w.sponsor >> 160 != 0) return false;
        if ((w.escrow & SPONSORED != 0) != (w.sponsor != 0)) return false;
        if (w.run == 0) return w.pledge == 0;
        if (w.run >> 248 != 0 || uint160(w.pledge) == 0 || uint160(w.run) == 0 || withinOf(w) > 365 days) return false;
        uint256 phase = (w.run >> 160) & 0xff;
        return phase == uint256(I.Phase.Matched) || (phase == uint256(I.Phase.Approved) && missingOf(w) == 0);
    }

    function phaseOf(Words memory w) internal pure returns (I.Phase) {
        if (w.escrow & ENDED != 0) return I.Phase(uint8(w.escrow >> 160));
        if (w.run != 0) return I.Phase(uint8(w.run >> 160));
        return w.escrow == 0 ? I.Phase.None : I.Phase.Requested;
    }

    function ownerOf(Words memory w) internal pure returns (address) {
        return address(uint160(w.escrow));
    }

    function processorOf(Words memory w) internal pure returns (address) {
        return address(uint160(w.pledge));
    }

    function enclaveOf(Words memory w) internal pure returns (address) {
        return address(uint160(w.run));
    }

    function priceOf(Words memory w) internal pure returns (uint256) {
        return w.escrow & ENDED != 0 ? 0 : (w.escrow & ~SPONSORED) >> 160;
    }

    function bondOf(Words memory w) internal pure returns (uint256) {
        return w.pledge >> 160;
    }

    function deadlineOf(Words memory w) internal pure returns (uint256) {
        return (w.run >> 168) & (2 ** 40 - 1);
    }

    function withinOf(Words memory w) internal pure returns (uint256) {
        return (w.run >> 208) & (2 ** 32 - 1);
    }

    function missingOf(Words memory w) internal pure returns (uint256) {
        return (w.run >> 240) & 0xff;
    }

    function heldBy(Words memory w) internal pure returns (uint256) {
        unchecked {
            return priceOf(w) + bondOf(w);
        }
    }

    function same(Words memory a, Words memory b) internal pure returns (bool) {
        return (a.escrow ^ b.escrow) | (a.run ^ b.run) | (a.pledge ^ b.pledge) | uint256(a.history ^ b.history)
                | (a.sponsor ^ b.sponsor) == 0;
    }

    /// @dev Without a branch, which would double what the prover has to walk.
    function given(bool holds, uint256 amount) internal pure returns (uint256 it) {
        assembly ("memory-safe") {
            it := and(amount, sub(0, holds))
        }
    }

    function domain() internal view returns (bytes32) {
        return Records.domain(block.chainid, address(pox));
    }

    function extended(World memory w, uint256 step, bytes32 payload) internal view returns (bytes32) {
        return Records.extend(w.task.history, step, payload, block.number, block.timestamp);
    }
}
