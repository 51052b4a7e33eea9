// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution} from "./IProofOfExecution.sol";

/// @notice First slot of a task (spec §5.3): `proveWithin` (4 bytes), deadline (5), phase (1), owner (20), from bit 239 down.
/// @dev Slots are packed by hand, because the compiler reads and writes a slot once for each packed field, and before
/// the Berlin level each of these costs 800 gas.
type Head is uint256;

/// @notice Second and third slot of a task (spec §5.3): an amount in wei (12 bytes) above an account (20).
type Stake is uint256;

using {owner, phase, deadline, proveWithin, advance} for Head global;
using {account, amount} for Stake global;

/// @param time the deadline; any time that the contract accepts is below 2^40
function packHead(address who, IProofOfExecution.Phase now_, uint256 time, uint32 within) pure returns (Head) {
    return Head.wrap((uint256(within) << 208) | (time << 168) | (uint256(now_) << 160) | uint160(who));
}

function owner(Head head) pure returns (address) {
    return address(uint160(Head.unwrap(head)));
}

function phase(Head head) pure returns (IProofOfExecution.Phase) {
    return IProofOfExecution.Phase(uint8(Head.unwrap(head) >> 160));
}

function deadline(Head head) pure returns (uint256) {
    return uint40(Head.unwrap(head) >> 168);
}

function proveWithin(Head head) pure returns (uint32) {
    return uint32(Head.unwrap(head) >> 208);
}

/// @notice The same task in another phase, with another deadline.
function advance(Head head, IProofOfExecution.Phase next, uint256 time) pure returns (Head) {
    return packHead(owner(head), next, time, proveWithin(head));
}

function packStake(address who, uint96 wei_) pure returns (Stake) {
    return Stake.wrap((uint256(wei_) << 160) | uint160(who));
}

function account(Stake stake) pure returns (address) {
    return address(uint160(Stake.unwrap(stake)));
}

function amount(Stake stake) pure returns (uint96) {
    return uint96(Stake.unwrap(stake) >> 160);
}
