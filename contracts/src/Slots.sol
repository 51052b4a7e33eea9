// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";

/// @notice First slot of a task (spec §5.3): whether it has ended (1 bit), whether it has a sponsor (1), the price (94), the
/// owner (160). After the end sponsor and price are gone, and the phase stands in their place.
/// @dev Slots are packed by hand, because the compiler reads and writes a slot once for each packed field, and before
/// the Berlin level each of these costs 800 gas.
type Escrow is uint256;

/// @notice Second slot (spec §5.3): the parties whose release is missing (1 byte), `proveWithin` (4), deadline (5), phase (1),
/// enclave (20), from bit 247 down: all that an approval looks at. Zero unless the task is Matched or Approved.
type Run is uint256;

/// @notice Third slot (spec §5.3): the bond (12 bytes) above the processor (20). Zero unless the task is Matched or Approved.
type Pledge is uint256;

using {owner, price, hasEnded, isSponsored, endAs} for Escrow global;
using {enclave, isIn, phase, deadline, missing, misses, without, approve} for Run global;
using {processor, bond} for Pledge global;

/// @dev The bit of an escrow that says that its task has ended.
uint256 constant ENDED = 1 << 255;
/// @dev The bit of an escrow that says that somebody else than the owner paid the price.
uint256 constant SPONSORED = 1 << 254;

/// @notice The phase that the first two slots say.
function phaseOf(Escrow escrow, Run run) pure returns (IProofOfExecution.Phase) {
    if (Run.unwrap(run) != 0) return run.phase();
    if (escrow.hasEnded()) return IProofOfExecution.Phase(uint8(Escrow.unwrap(escrow) >> 160));
    return Escrow.unwrap(escrow) == 0 ? IProofOfExecution.Phase.None : IProofOfExecution.Phase.Requested;
}

/// @param wei_ below 2^94, which a request's bound holds
function packEscrow(address who, uint96 wei_, bool sponsored) pure returns (Escrow) {
    return Escrow.wrap((sponsored ? SPONSORED : 0) | (uint256(wei_) << 160) | uint160(who));
}

function owner(Escrow escrow) pure returns (address) {
    return address(uint160(Escrow.unwrap(escrow)));
}

/// @notice What is still escrowed: nothing after the end.
function price(Escrow escrow) pure returns (uint96) {
    return escrow.hasEnded() ? 0 : uint96(Escrow.unwrap(escrow) >> 160) & (2 ** 94 - 1);
}

function isSponsored(Escrow escrow) pure returns (bool) {
    return Escrow.unwrap(escrow) & SPONSORED != 0;
}

function hasEnded(Escrow escrow) pure returns (bool) {
    return Escrow.unwrap(escrow) & ENDED != 0;
}

/// @notice The same task after its end.
function endAs(Escrow escrow, IProofOfExecution.Phase end) pure returns (Escrow) {
    return Escrow.wrap(ENDED | (uint256(end) << 160) | uint160(owner(escrow)));
}

/// @notice A task that was matched.
/// @param time the deadline; any time that the contract accepts is below 2^40
/// @param parties whose `release` it waits for; zero: for `approve`
function packRun(address who, uint256 time, uint32 within, uint256 parties) pure returns (Run) {
    return Run.wrap(
        (parties << 240) | (uint256(within) << 208) | (time << 168) | (uint256(IProofOfExecution.Phase.Matched) << 160)
            | uint160(who)
    );
}

/// @notice The same run, no longer waiting for this party.
function without(Run run, uint256 party) pure returns (Run) {
    return Run.wrap(Run.unwrap(run) & ~(2 ** (240 + party)));
}

/// @notice The same run after the approval, with its time to prove it begun at `now_`.
function approve(Run run, uint256 now_) pure returns (Run) {
    uint256 within = uint32(Run.unwrap(run) >> 208);
    uint256 time;
    // Both are far below 2^40.
    unchecked {
        time = now_ + within;
    }
    return
        Run.wrap((within << 208) | (time << 168) | (uint256(IProofOfExecution.Phase.Approved) << 160) | uint160(enclave(run)));
}

function enclave(Run run) pure returns (address) {
    return address(uint160(Run.unwrap(run)));
}

/// @notice Whether `phase()` is this one; cheaper than to ask for it.
function isIn(Run run, IProofOfExecution.Phase which) pure returns (bool) {
    return uint8(Run.unwrap(run) >> 160) == uint8(which);
}

function phase(Run run) pure returns (IProofOfExecution.Phase) {
    return IProofOfExecution.Phase(uint8(Run.unwrap(run) >> 160));
}

function deadline(Run run) pure returns (uint256) {
    return uint40(Run.unwrap(run) >> 168);
}

function missing(Run run) pure returns (uint8) {
    return uint8(Run.unwrap(run) >> 240);
}

function misses(Run run, uint256 party) pure returns (bool) {
    return (missing(run) >> party) & 1 != 0;
}

function packPledge(address who, uint96 wei_) pure returns (Pledge) {
    return Pledge.wrap((uint256(wei_) << 160) | uint160(who));
}

function processor(Pledge pledge) pure returns (address) {
    return address(uint160(Pledge.unwrap(pledge)));
}

function bond(Pledge pledge) pure returns (uint96) {
    return uint96(Pledge.unwrap(pledge) >> 160);
}
