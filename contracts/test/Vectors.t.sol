// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IProofOfExecution as I} from "../src/IProofOfExecution.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice The shared vectors of `spec/vectors`, in the form of `VECTORS.md`. A folder without vectors fails.
contract VectorsTest is Base {
    string private constant ROOT = "../spec/vectors/";

    function test_request() public view {
        string[] memory files = vectors("request");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            I.Request memory r;
            r.owner = addressAt(json, "owner");
            r.processors = wordAt(json, "processors");
            r.price = uint96(uintAt(json, "price", 96));
            r.image = wordAt(json, "image");
            r.inputs = vm.parseJsonBytes32Array(json, ".record.inputs");
            r.terms = wordAt(json, "terms");
            r.metadata = wordAt(json, "metadata");
            r.policy = wordAt(json, "policy");
            r.kinds = uint16(uintAt(json, "kinds", 16));
            r.cpuMillis = uint32(uintAt(json, "cpuMillis", 32));
            r.memoryMib = uint32(uintAt(json, "memoryMib", 32));
            r.diskMib = uint32(uintAt(json, "diskMib", 32));
            r.timeLimit = uint32(uintAt(json, "timeLimit", 32));
            r.matchBy = uint64(uintAt(json, "matchBy", 64));
            r.approveWithin = uint32(uintAt(json, "approveWithin", 32));
            r.proveWithin = uint32(uintAt(json, "proveWithin", 32));
            r.salt = wordAt(json, "salt");
            r.delegate = addressAt(json, "delegate");
            r.coOwners = coOwnersIn(json);
            checkId(json, records.requestId(separatorOf(json), r));
        }
    }

    function coOwnersIn(string memory json) private view returns (I.CoOwner[] memory coOwners) {
        uint256 count = 0;
        while (vm.keyExistsJson(json, coOwnerKey(count, ""))) ++count;
        coOwners = new I.CoOwner[](count);
        for (uint256 i = 0; i < count; ++i) {
            address account = vm.parseJsonAddress(json, coOwnerKey(i, ".account"));
            coOwners[i] = I.CoOwner(account, uint32(vm.parseJsonUint(json, coOwnerKey(i, ".inputs"))));
        }
    }

    function test_offer() public view {
        string[] memory files = vectors("offer");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            I.Offer memory o;
            o.processor = addressAt(json, "processor");
            o.kinds = uint16(uintAt(json, "kinds", 16));
            o.cpuMillis = uint32(uintAt(json, "cpuMillis", 32));
            o.memoryMib = uint32(uintAt(json, "memoryMib", 32));
            o.diskMib = uint32(uintAt(json, "diskMib", 32));
            o.timeLimit = uint32(uintAt(json, "timeLimit", 32));
            o.pricePerSecond = uint96(uintAt(json, "pricePerSecond", 96));
            o.bond = uint96(uintAt(json, "bond", 96));
            o.validUntil = uint64(uintAt(json, "validUntil", 64));
            o.salt = wordAt(json, "salt");
            checkId(json, records.offerId(separatorOf(json), o));
        }
    }

    function test_release() public view {
        string[] memory files = vectors("release");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            bytes32 secretHash = wordAt(json, "secretHash");
            checkId(json, records.releaseId(separatorOf(json), wordAt(json, "task"), addressAt(json, "enclave"), secretHash));
        }
    }

    function test_receipt() public view {
        string[] memory files = vectors("receipt");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            I.Receipt memory r;
            r.task = wordAt(json, "task");
            r.enclave = addressAt(json, "enclave");
            r.outcome = uint8(uintAt(json, "outcome", 8));
            r.exitCode = uint32(uintAt(json, "exitCode", 32));
            r.results = wordAt(json, "results");
            r.report = wordAt(json, "report");
            r.cpuMicros = uint64(uintAt(json, "cpuMicros", 64));
            r.wallMicros = uint64(uintAt(json, "wallMicros", 64));
            r.memoryPeak = uint64(uintAt(json, "memoryPeak", 64));
            bytes32 separator = separatorOf(json);
            bytes32 id = records.receiptId(separator, r);
            checkId(json, id);
            bytes32 archived = records.archivedReceiptId(separator, id, vm.parseJsonBytes32(json, ".archive"));
            same(archived, vm.parseJsonBytes32(json, ".archivedId"), json);
            bytes memory signature = vm.parseJsonBytes(json, ".signature");
            same(signature.length, 65, "signature");
            same(recovered(archived, signature), r.enclave, json);
        }
    }

    function test_consent() public view {
        string[] memory files = vectors("consent");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            bytes32 separator = separatorOf(json);
            bytes32 kind = keccak256(bytes(vm.parseJsonString(json, ".kind")));
            if (kind == keccak256("refusal")) {
                uint8 reason = uint8(uintAt(json, "reason", 8));
                checkId(json, records.refusalId(separator, wordAt(json, "task"), addressAt(json, "enclave"), reason));
            } else if (kind == keccak256("cancellation")) {
                checkId(json, records.cancellationId(separator, wordAt(json, "task")));
            } else {
                check(kind == keccak256("batch"), json);
                uint16 count = uint16(uintAt(json, "count", 16));
                (bytes32 receipt, bytes32 members) = (wordAt(json, "receipt"), wordAt(json, "members"));
                checkId(json, records.archivedBatchId(separator, receipt, wordAt(json, "archive"), members, count));
            }
        }
    }

    function test_list() public view {
        string[] memory files = vectors("list");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            bytes32[] memory path = vm.parseJsonBytes32Array(json, ".path");
            address account = vm.parseJsonAddress(json, ".account");
            bool listed = records.isListed(vm.parseJsonBytes32(json, ".root"), account, path);
            check(listed == vm.parseJsonBool(json, ".listed"), json);
        }
    }

    function test_history() public view {
        string[] memory files = vectors("history");
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            bytes32 history = 0;
            uint256 step = 0;
            for (; vm.keyExistsJson(json, stepKey(step, "")); ++step) {
                uint256 code = vm.parseJsonUint(json, stepKey(step, ".step"));
                bytes32 payload = vm.parseJsonBytes32(json, stepKey(step, ".payload"));
                if (code != 1 && code != 5 && code != 9) same(payload, payloadOf(json, step, code), json);
                uint256 number = vm.parseJsonUint(json, stepKey(step, ".number"));
                history = records.extend(history, code, payload, number, vm.parseJsonUint(json, stepKey(step, ".time")));
            }
            check(step != 0, "a history without steps");
            same(history, vm.parseJsonBytes32(json, ".history"), json);
        }
    }

    function test_outcome() public {
        string[] memory files = vectors("outcome");
        uint256 start = vm.snapshotState();
        for (uint256 i = 0; i < files.length; ++i) {
            string memory json = files[i];
            I.Receipt memory receipt = aReceipt(approved(aRequest(), anOffer()));
            receipt.outcome = uint8(uintAt(json, "outcome", 8));
            bytes memory signature = sign(ENCLAVE_KEY, receipt);
            bool accepted = vm.parseJsonBool(json, ".accepted");
            if (!accepted) expectError(I.BadOutcome.selector);
            pox.prove(receipt, ARCHIVE, signature);
            if (accepted) {
                uint256 toOwner =
                    (paysOwner(json, ".price") ? aRequest().price : 0) + (paysOwner(json, ".bond") ? anOffer().bond : 0);
                same(pox.credit(OWNER), toOwner, json);
                same(pox.credit(PROCESSOR), uint256(aRequest().price) + anOffer().bond - toOwner, json);
            }
            vm.revertToState(start);
        }
    }

    /// @dev The texts of a folder's files.
    function vectors(string memory folder) private view returns (string[] memory files) {
        Vm.DirEntry[] memory entries = vm.readDir(string.concat(ROOT, folder));
        check(entries.length != 0, string.concat("no vectors: ", folder));
        files = new string[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            check(bytes(entries[i].errorMessage).length == 0, entries[i].errorMessage);
            check(!entries[i].isDir && endsWith(entries[i].path, ".json"), string.concat("not a vector: ", entries[i].path));
            files[i] = vm.readFile(entries[i].path);
        }
    }

    function payloadOf(string memory json, uint256 step, uint256 code) private view returns (bytes32) {
        if (code == 2) {
            return records.matchPayload(
                vm.parseJsonBytes32(json, stepKey(step, ".offer")),
                vm.parseJsonAddress(json, stepKey(step, ".processor")),
                vm.parseJsonAddress(json, stepKey(step, ".enclave")),
                keccak256(vm.parseJsonBytes(json, stepKey(step, ".evidence")))
            );
        }
        if (code == 3) {
            uint8 reason = uint8(vm.parseJsonUint(json, stepKey(step, ".reason")));
            return records.rejectPayload(vm.parseJsonAddress(json, stepKey(step, ".account")), reason);
        }
        if (code == 4) {
            bytes32 secretHash = keccak256(vm.parseJsonBytes(json, stepKey(step, ".secret")));
            return records.approvePayload(vm.parseJsonAddress(json, stepKey(step, ".enclave")), secretHash);
        }
        if (code == 8) {
            bytes32 secretHash = keccak256(vm.parseJsonBytes(json, stepKey(step, ".secret")));
            address account = vm.parseJsonAddress(json, stepKey(step, ".account"));
            return records.releasePayload(account, vm.parseJsonAddress(json, stepKey(step, ".enclave")), secretHash);
        }
        check(code == 6 || code == 7, "unknown step");
        return 0;
    }

    function separatorOf(string memory json) private view returns (bytes32) {
        uint256 chainId = vm.parseJsonUint(json, ".domain.chainId");
        return records.domain(chainId, vm.parseJsonAddress(json, ".domain.verifyingContract"));
    }

    function checkId(string memory json, bytes32 id) private pure {
        same(id, vm.parseJsonBytes32(json, ".id"), json);
    }

    function paysOwner(string memory json, string memory key) private pure returns (bool) {
        string memory who = vm.parseJsonString(json, key);
        bool isOwner = keccak256(bytes(who)) == keccak256("owner");
        check(isOwner || keccak256(bytes(who)) == keccak256("processor"), json);
        return isOwner;
    }

    function recovered(bytes32 digest, bytes memory signature) private pure returns (address) {
        (bytes32 r, bytes32 s, uint256 v) = (0, 0, uint8(signature[64]));
        for (uint256 i = 0; i < 32; ++i) {
            r |= bytes32(signature[i]) >> (8 * i);
            s |= bytes32(signature[32 + i]) >> (8 * i);
        }
        return ecrecover(digest, uint8(v), r, s);
    }

    function wordAt(string memory json, string memory field) private pure returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(".record.", field));
    }

    function addressAt(string memory json, string memory field) private pure returns (address) {
        return vm.parseJsonAddress(json, string.concat(".record.", field));
    }

    function uintAt(string memory json, string memory field, uint256 bits) private pure returns (uint256 value) {
        value = vm.parseJsonUint(json, string.concat(".record.", field));
        check(value < 1 << bits, field);
    }

    function coOwnerKey(uint256 place, string memory field) private pure returns (string memory) {
        return string.concat(".record.coOwners[", vm.toString(place), "]", field);
    }

    function stepKey(uint256 step, string memory field) private pure returns (string memory) {
        return string.concat(".steps[", vm.toString(step), "]", field);
    }

    function endsWith(string memory text, string memory tail) private pure returns (bool) {
        (bytes memory a, bytes memory b) = (bytes(text), bytes(tail));
        if (a.length < b.length) return false;
        for (uint256 i = 0; i < b.length; ++i) {
            if (a[a.length - b.length + i] != b[i]) return false;
        }
        return true;
    }
}
