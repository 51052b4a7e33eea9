//! Chains: what a client reads of a node, and what the embedded chain reads of a client.
#![no_main]

mod answers;
mod devchain;
mod texts;

use pox_fuzz::Target;

const TARGETS: &[Target] = &[
    Target { name: "profile", run: texts::profile, seeds: texts::profile_seeds },
    Target { name: "endpoint", run: texts::endpoint, seeds: texts::endpoint_seeds },
    Target { name: "prepared", run: texts::prepared, seeds: devchain::transaction_seeds },
    Target { name: "answers", run: answers::answers, seeds: answers::seeds },
    Target { name: "devchain-rpc", run: devchain::rpc, seeds: devchain::rpc_seeds },
    Target { name: "devchain-transaction", run: devchain::transaction, seeds: devchain::transaction_seeds },
    Target { name: "devchain-import", run: devchain::import, seeds: devchain::import_seeds },
];

libfuzzer_sys::fuzz_target!(init: pox_fuzz::start(TARGETS), |input: &[u8]| pox_fuzz::run(input));
