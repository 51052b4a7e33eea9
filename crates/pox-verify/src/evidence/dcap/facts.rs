//! From what dcap-qvl established to the one form of all kinds (spec §8.7.4).

use super::quote::{SGX_KSS, enclave_flags};
use crate::evidence::launch::{Launch, PlatformId, PlatformTrait, Register, Tcb, TcbStatus, Window};
use dcap_qvl::quote::{EnclaveReport, Report, TDReport10};
use dcap_qvl::{PckCertFlag, QuoteClaims, TcbStatus as Intel};
use pox_core::evidence::EvidenceKind;
use std::collections::{BTreeMap, BTreeSet};

/// What a genuine quote says.
pub(super) fn launch(kind: EvidenceKind, claims: QuoteClaims, endorsed: Window) -> Launch {
    let (registers, report_data, launch_data) = reported(&claims.report);
    Launch {
        kind,
        registers,
        report_data,
        tcb: tcb(&claims),
        launch_data,
        traits: traits(&claims),
        platform: Some(PlatformId { name: "ppid", bytes: claims.platform.pck.ppid }),
        endorsed: Some(endorsed),
    }
}

/// What a report says, verified or not.
pub(super) fn reported(report: &Report) -> Reported {
    match report {
        Report::SgxEnclave(report) => enclave(report),
        Report::TD10(report) => td(report),
        Report::TD15(report) => td(&report.base),
        Report::TD15Ex(report) => td(&report.base.base),
    }
}

pub(super) type Reported = (Vec<Register>, [u8; 64], Option<Vec<u8>>);

/// Only MRENCLAVE is measured: whoever holds a signer's key can sign anything. CONFIGID is the host's to set before the launch,
/// and only an enclave with key separation and sharing (KSS) has it. Layout: Intel SDM volume 3D, REPORT structure; dcap-qvl
/// leaves the KSS fields in its reserved ones.
fn enclave(report: &EnclaveReport) -> Reported {
    let config_id = &report.reserved3[32..96];
    let registers = vec![
        measured("MRENCLAVE", &report.mr_enclave),
        recorded("MRSIGNER", &report.mr_signer),
        recorded("ISVPRODID", &report.isv_prod_id.to_le_bytes()),
        recorded("ISVSVN", &report.isv_svn.to_le_bytes()),
        recorded("ATTRIBUTES", &report.attributes),
        recorded("MISCSELECT", &report.misc_select.to_le_bytes()),
        recorded("ISVEXTPRODID", &report.reserved1[12..28]),
        recorded("CONFIGID", config_id),
        recorded("CONFIGSVN", &report.reserved4[..2]),
        recorded("ISVFAMILYID", &report.reserved4[44..60]),
    ];
    let has_config = enclave_flags(report) & SGX_KSS != 0;
    (registers, report.report_data, has_config.then(|| config_id.to_vec()))
}

/// MRTD is the firmware, RTMR1 the kernel and RTMR2 its command line and initramfs. RTMR0 is not measured: it also depends on
/// the machine's shape (memory, processors, the tables that describe them), which the host may choose. RTMR3 is the guest's own.
fn td(report: &TDReport10) -> Reported {
    let registers = vec![
        measured("MRTD", &report.mr_td),
        recorded("RTMR0", &report.rt_mr0),
        measured("RTMR1", &report.rt_mr1),
        measured("RTMR2", &report.rt_mr2),
        recorded("RTMR3", &report.rt_mr3),
        recorded("MRCONFIGID", &report.mr_config_id),
        recorded("MROWNER", &report.mr_owner),
        recorded("MROWNERCONFIG", &report.mr_owner_config),
        recorded("MRSEAM", &report.mr_seam),
        recorded("MRSIGNERSEAM", &report.mr_signer_seam),
        recorded("TDATTRIBUTES", &report.td_attributes),
        recorded("XFAM", &report.xfam),
    ];
    (registers, report.report_data, Some(report.mr_config_id.to_vec()))
}

fn measured(name: &'static str, value: &[u8]) -> Register {
    Register { name, value: value.to_vec(), measured: true }
}

fn recorded(name: &'static str, value: &[u8]) -> Register {
    Register { name, value: value.to_vec(), measured: false }
}

/// The worst status of all components, with the advisories of all: dcap-qvl leaves out those of a TD 1.5's current level, and
/// that level itself if the one at launch was better.
fn tcb(claims: &QuoteClaims) -> Tcb {
    let pck = &claims.platform.pck;
    let current = claims.platform.current_tcb_level.as_ref();
    let status = current
        .map(|level| status(level.tcb_status))
        .into_iter()
        .fold(status(claims.tcb.status), TcbStatus::max);
    let advisories =
        claims.tcb.advisory_ids.iter().chain(current.iter().flat_map(|level| &level.advisory_ids));
    let module = match &claims.report {
        Report::SgxEnclave(_) => String::new(),
        Report::TD10(report) => format!(", tdx {}", hex::encode(report.tee_tcb_svn)),
        Report::TD15(report) => format!(", tdx {}", hex::encode(report.tee_tcb_svn2)),
        Report::TD15Ex(report) => format!(", tdx {}", hex::encode(report.base.tee_tcb_svn2)),
    };
    Tcb {
        status,
        advisories: advisories.cloned().collect(),
        level: format!(
            "fmspc {}, cpu {}, pce {}{module}, qe {}",
            hex::encode(pck.fmspc),
            hex::encode(pck.cpu_svn),
            pck.pce_svn,
            claims.qe.report.isv_svn,
        ),
        evaluation: Some(claims.tcb.eval_data_number),
        parts: BTreeMap::new(),
    }
}

/// Relaunch advised means that the TD started on a level that is out of date, whatever the platform has now.
fn status(intel: Intel) -> TcbStatus {
    match intel {
        Intel::UpToDate => TcbStatus::UpToDate,
        Intel::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        Intel::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Intel::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSwHardeningNeeded,
        Intel::OutOfDate | Intel::TDRelaunchAdvised => TcbStatus::OutOfDate,
        Intel::OutOfDateConfigurationNeeded | Intel::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::OutOfDateConfigurationNeeded
        }
        Intel::Revoked => TcbStatus::Revoked,
    }
}

fn traits(claims: &QuoteClaims) -> BTreeSet<PlatformTrait> {
    let pck = &claims.platform.pck;
    [
        (pck.smt_enabled, PlatformTrait::Smt),
        (pck.dynamic_platform, PlatformTrait::DynamicPlatform),
        (pck.cached_keys, PlatformTrait::CachedKeys),
    ]
    .into_iter()
    .filter_map(|(flag, name)| (flag == PckCertFlag::True).then_some(name))
    .collect()
}
