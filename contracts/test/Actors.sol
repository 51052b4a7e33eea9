// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {IERC1271} from "../src/IERC1271.sol";
import {Vm} from "./Vm.sol";

/// @notice An institution's account: a contract that takes its signer's signatures for its own, and no coins unless told to.
contract Wallet is IERC1271 {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address private immutable SIGNER;
    bool public refuses;

    constructor(address signer) {
        SIGNER = signer;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 65) return 0xffffffff;
        address by = ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        return by == SIGNER && by != address(0) ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function refuse(bool refuses_) external {
        refuses = refuses_;
    }

    receive() external payable {
        require(!refuses, "refused");
    }
}

/// @notice Tries to take more whenever it is paid.
contract Greedy {
    I private immutable POX;
    uint256 public paid;
    uint256 public taken;
    bytes public call;

    constructor(I pox) {
        POX = pox;
    }

    /// @dev What to try next time, besides withdrawing again.
    function plan(bytes calldata call_) external {
        call = call_;
    }

    receive() external payable {
        ++paid;
        (bool again,) = address(POX).call(abi.encodeCall(I.withdraw, ()));
        (bool planned,) = address(POX).call(call);
        if (again || planned) ++taken;
    }
}
