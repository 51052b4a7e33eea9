// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice The cheat codes of forge that these tests use.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    struct DirEntry {
        string errorMessage;
        string path;
        uint64 depth;
        bool isDir;
        bool isSymlink;
    }

    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function chainId(uint256 id) external;
    function deal(address account, uint256 amount) external;
    function txGasPrice(uint256 price) external;
    function fee(uint256 baseFee) external;
    function coinbase(address account) external;
    function getNonce(address account) external view returns (uint64);
    function etch(address account, bytes calldata code) external;
    function prank(address sender) external;
    function prank(address sender, address origin) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function assume(bool condition) external pure;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function expectRevert(bytes calldata reason) external;
    function expectRevert() external;
    function expectEmit(bool topic1, bool topic2, bool topic3, bool body, address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function deployCode(string calldata artifact) external returns (address);
    function snapshotState() external returns (uint256);
    function revertToState(uint256 snapshot) external returns (bool);
    function readFile(string calldata path) external view returns (string memory);
    function readDir(string calldata path) external view returns (DirEntry[] memory);
    function keyExistsJson(string calldata json, string calldata key) external view returns (bool);
    function parseJsonBool(string calldata json, string calldata key) external pure returns (bool);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonBytes32Array(string calldata json, string calldata key) external pure returns (bytes32[] memory);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function eip712HashStruct(string calldata typeDefinition, bytes calldata encoded) external pure returns (bytes32);
    function toString(uint256 value) external pure returns (string memory);
}
