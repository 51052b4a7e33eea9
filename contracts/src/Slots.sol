// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";

/// @notice First slot of a task (spec §5.3): whether it has ended (1 bit), the price (95), the owner (160). After the end the
/// price is gone, and the phase stands in its place.
/// @dev Slots are packed by hand, because the compiler reads and writes a slot once for each packed field, and before
/// the Berlin level each of these costs 800 gas.
type Escrow is uint256;

/// @notice Second slot (spec §5.3): `proveWithin` (4 bytes), deadline (5), phase (1), processor (20), from bit 239 down. Zero
/// unless the task is Matched or Approved.
type Run is uint256;

/// @notice Third slot (spec §5.3): the bond (12 bytes) above the enclave (20). Zero unless the task is Matched or Approved.
type Pledge is uint256;

using {owner, price, hasEnded, endAs} for Escrow global;
using {processor, phase, deadline, approve} for Run global;
using {enclave, bond} for Pledge global;

/// @dev The bit of an escrow that says that its task has ended.
uint256 constant ENDED = 1 << 255;

/// @notice The phase that the first two slots say.
function phaseOf(Escrow escrow, Run run) pure returns (IProofOfExecution.Phase) {
    if (Run.unwrap(run) != 0) return run.phase();
    if (escrow.hasEnded()) return IProofOfExecution.Phase(uint8(Escrow.unwrap(escrow) >> 160));
    return Escrow.unwrap(escrow) == 0 ? IProofOfExecution.Phase.None : IProofOfExecution.Phase.Requested;
}

/// @param wei_ below 2^95, which a request's bound holds
function packEscrow(address who, uint96 wei_) pure returns (Escrow) {
    return Escrow.wrap((uint256(wei_) << 160) | uint160(who));
}

function owner(Escrow escrow) pure returns (address) {
    return address(uint160(Escrow.unwrap(escrow)));
}

/// @notice What is still escrowed: nothing after the end.
function price(Escrow escrow) pure returns (uint96) {
    return escrow.hasEnded() ? 0 : uint96(Escrow.unwrap(escrow) >> 160);
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
function packRun(address who, uint256 time, uint32 within) pure returns (Run) {
    return _pack(who, IProofOfExecution.Phase.Matched, time, within);
}

/// @notice The same run after the approval, with its time to prove it begun at `now_`.
function approve(Run run, uint256 now_) pure returns (Run) {
    uint32 within = uint32(Run.unwrap(run) >> 208);
    return _pack(processor(run), IProofOfExecution.Phase.Approved, now_ + within, within);
}

function processor(Run run) pure returns (address) {
    return address(uint160(Run.unwrap(run)));
}

function phase(Run run) pure returns (IProofOfExecution.Phase) {
    return IProofOfExecution.Phase(uint8(Run.unwrap(run) >> 160));
}

function deadline(Run run) pure returns (uint256) {
    return uint40(Run.unwrap(run) >> 168);
}

function packPledge(address who, uint96 wei_) pure returns (Pledge) {
    return Pledge.wrap((uint256(wei_) << 160) | uint160(who));
}

function enclave(Pledge pledge) pure returns (address) {
    return address(uint160(Pledge.unwrap(pledge)));
}

function bond(Pledge pledge) pure returns (uint96) {
    return uint96(Pledge.unwrap(pledge) >> 160);
}

function _pack(address who, IProofOfExecution.Phase now_, uint256 time, uint32 within) pure returns (Run) {
    return Run.wrap((uint256(within) << 208) | (time << 168) | (uint256(now_) << 160) | uint160(who));
}
