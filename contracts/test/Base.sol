// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {IRecords} from "./IRecords.sol";
import {Vm} from "./Vm.sol";

/// @notice What all tests share: the committed bytecode, actors, a fitting request and offer, and the way to each phase.
abstract contract Base {
    struct State {
        I.Phase phase;
        address owner;
        address processor;
        address enclave;
        uint96 price;
        uint96 bond;
        uint64 deadline;
        bytes32 history;
        address sponsor;
        uint8 missing;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant START = 1_800_000_000;
    uint256 internal constant CHAIN_ID = 8995;
    uint256 internal constant ENCLAVE_KEY = 0xe7c1a7e;
    uint256 internal constant OWNER_KEY = 0xa11ce; // of OWNER
    uint256 internal constant CO_OWNER_KEYS = 0xc00; // and the next
    uint256 internal constant DELEGATE_KEY = 0xde1e;
    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    address internal constant OWNER = 0xe05fcC23807536bEe418f142D19fa0d21BB0cfF7;
    address internal constant PROCESSOR = address(0xb0b);
    address internal constant OTHER = address(0xca41);
    bytes internal constant EVIDENCE = "evidence";
    bytes internal constant SEALED = "sealed";
    bytes32 internal constant ARCHIVE = keccak256("archive");

    I internal pox;
    IRecords internal records;
    address internal enclave;

    function setUp() public virtual {
        vm.chainId(CHAIN_ID);
        vm.warp(START);
        vm.roll(1_000);
        pox = deploy();
        records = IRecords(vm.deployCode("RecordsHarness.sol:RecordsHarness"));
        enclave = vm.addr(ENCLAVE_KEY);
        vm.deal(OWNER, 1_000 ether);
        vm.deal(PROCESSOR, 1_000 ether);
        vm.deal(OTHER, 1_000 ether);
    }

    /// @dev The tests judge the bytes that are committed and deployed, not what forge compiles beside them.
    function deploy() internal returns (I deployed) {
        bytes memory code = vm.parseJsonBytes(vm.readFile("abi/ProofOfExecution.json"), ".bytecode");
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        check(address(deployed) != address(0), "deployed");
    }

    function aRequest() internal pure returns (I.Request memory record) {
        record.owner = OWNER;
        record.price = 3_600;
        record.image = keccak256("image");
        record.inputs = new bytes32[](1);
        record.inputs[0] = keccak256("input");
        record.terms = keccak256("terms");
        record.metadata = keccak256("metadata");
        record.policy = keccak256("policy");
        record.kinds = 6;
        record.cpuMillis = 4_000;
        record.memoryMib = 16_384;
        record.diskMib = 65_536;
        record.timeLimit = 3_600;
        record.matchBy = uint64(START + 1 days);
        record.approveWithin = 1_000;
        record.proveWithin = 7_200;
        record.salt = keccak256("request salt");
    }

    function anOffer() internal pure returns (I.Offer memory terms) {
        terms.processor = PROCESSOR;
        terms.kinds = 3;
        terms.cpuMillis = 4_000;
        terms.memoryMib = 16_384;
        terms.diskMib = 65_536;
        terms.timeLimit = 3_600;
        terms.pricePerSecond = 1;
        terms.bond = 500;
        terms.validUntil = uint64(START + 30 days);
        terms.salt = keccak256("offer salt");
    }

    function aReceipt(bytes32 task) internal view returns (I.Receipt memory receipt) {
        receipt.task = task;
        receipt.enclave = enclave;
        receipt.exitCode = 0;
        receipt.results = keccak256("results");
        receipt.report = keccak256("report");
        receipt.cpuMicros = 1;
        receipt.wallMicros = 2;
        receipt.memoryPeak = 3;
    }

    function domain() internal view returns (bytes32) {
        return records.domain(block.chainid, address(pox));
    }

    function idOf(I.Request memory record) internal view returns (bytes32) {
        return records.requestId(domain(), record);
    }

    function signed(I.Receipt memory receipt, bytes32 archive) internal view returns (bytes32) {
        bytes32 separator = domain();
        return records.archivedReceiptId(separator, records.receiptId(separator, receipt), archive);
    }

    function sign(uint256 key, I.Receipt memory receipt) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, signed(receipt, ARCHIVE));
        return abi.encodePacked(r, s, v);
    }

    /// @dev What `approve` takes: the owner's signature, and the sealed bytes.
    function secretFor(bytes32 task, address to) internal view returns (bytes memory) {
        return release(OWNER_KEY, task, to, SEALED);
    }

    /// @dev The next call is a transaction of its own, as a secret needs it.
    function direct(address sender) internal {
        vm.prank(sender, sender);
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev The request with two co-owners, of which the first has two inputs; the owner has one.
    function aSharedRequest() internal pure returns (I.Request memory record) {
        record = aRequest();
        record.inputs = new bytes32[](4);
        for (uint256 i = 0; i < 4; ++i) {
            record.inputs[i] = keccak256(abi.encode("input", i));
        }
        record.coOwners = new I.CoOwner[](2);
        (address first, address second) = (vm.addr(CO_OWNER_KEYS), vm.addr(CO_OWNER_KEYS + 1));
        record.coOwners[0] = I.CoOwner(first < second ? first : second, 6);
        record.coOwners[1] = I.CoOwner(first < second ? second : first, 8);
    }

    /// @dev The key of a party of `aSharedRequest`.
    function keyOf(uint256 party) internal pure returns (uint256) {
        if (party == 0) return OWNER_KEY;
        bool inOrder = vm.addr(CO_OWNER_KEYS) < vm.addr(CO_OWNER_KEYS + 1);
        return CO_OWNER_KEYS + (inOrder ? party - 1 : 2 - party);
    }

    function release(uint256 key, bytes32 task, address to, bytes memory sealed_) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, records.releaseId(domain(), task, to, keccak256(sealed_)));
        return abi.encodePacked(r, s, v, sealed_);
    }

    function request(I.Request memory record) internal returns (bytes32 id) {
        vm.prank(record.owner);
        return pox.request{value: record.price}(record);
    }

    function offer(I.Offer memory terms) internal returns (bytes32 id) {
        vm.prank(terms.processor);
        return pox.offer(terms);
    }

    function matched(I.Request memory record, I.Offer memory terms) internal returns (bytes32 id) {
        id = request(record);
        vm.prank(terms.processor);
        pox.matchTask{value: terms.bond}(record, terms, enclave, EVIDENCE);
    }

    function approved(I.Request memory record, I.Offer memory terms) internal returns (bytes32 id) {
        id = matched(record, terms);
        bytes memory secret = secretFor(id, enclave);
        direct(record.owner);
        pox.approve(id, enclave, secret);
    }

    function proven(uint8 outcome) internal returns (bytes32 id) {
        id = approved(aRequest(), anOffer());
        I.Receipt memory receipt = aReceipt(id);
        receipt.outcome = outcome;
        pox.prove(receipt, ARCHIVE, sign(ENCLAVE_KEY, receipt));
    }

    function stateOf(bytes32 id) internal view returns (State memory) {
        (bool answered, bytes memory answer) = address(pox).staticcall(abi.encodeCall(I.task, (id)));
        check(answered, "the view answers");
        return abi.decode(answer, (State));
    }

    function expectPhaseError(I.Phase phase) internal {
        vm.expectRevert(abi.encodeWithSelector(I.WrongPhase.selector, phase));
    }

    function expectError(bytes4 selector) internal {
        vm.expectRevert(abi.encodeWithSelector(selector));
    }

    function expectError(bytes4 selector, uint256 argument) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, argument));
    }

    function check(bool holds, string memory what) internal pure {
        require(holds, what);
    }

    function same(uint256 got, uint256 wanted, string memory what) internal pure {
        if (got != wanted) revert(string.concat(what, ": got ", vm.toString(got), ", wanted ", vm.toString(wanted)));
    }

    function same(bytes32 got, bytes32 wanted, string memory what) internal pure {
        require(got == wanted, what);
    }

    function same(address got, address wanted, string memory what) internal pure {
        require(got == wanted, what);
    }

    function same(I.Phase got, I.Phase wanted, string memory what) internal pure {
        same(uint256(got), uint256(wanted), what);
    }
}
