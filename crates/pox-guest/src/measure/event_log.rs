//! The log of what was extended into a TDX guest's runtime registers, and its replay (spec §15.3).
//!
//! A log is the host's and the guest's claim, until it replays to registers that the hardware signed. Then its digests are
//! true, in their order; the content beside a digest is true only where the digest is that of the content
//! ([`Event::is_of_content`]).

use super::{Digest384, array};

/// Most bytes of a log: firmware reserves 64 or 256 KiB for it.
pub const MAX_LOG_BYTES: usize = 1 << 20;
/// Most events of a log: many times what a boot gives.
pub const MAX_EVENTS: usize = 4096;
/// Runtime registers of a TDX guest.
pub const REGISTERS: usize = 4;

/// The events of a log, in their order; those that only inform left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    events: Vec<Event<'a>>,
}

/// One extension of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Which runtime register: 0 to 3.
    pub register: u8,
    /// What kind of event, in the numbers of the TCG PC Client Platform Firmware Profile.
    pub kind: u32,
    /// What was extended.
    pub digest: Digest384,
    /// What the log says of it.
    pub content: &'a [u8],
}

/// Bytes are no event log of a TDX guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// More than any log has.
    #[error("the event log has {0} bytes, at most {MAX_LOG_BYTES} are allowed")]
    TooLarge(usize),
    /// More than any boot gives.
    #[error("the event log has more than {MAX_EVENTS} events")]
    TooManyEvents,
    /// The first event does not say that this is such a log, with SHA-384 and nothing else.
    #[error("the event log does not begin as one with SHA-384 digests does")]
    Header,
    /// It ends within an event.
    #[error("event {0} is cut short")]
    Truncated(usize),
    /// An event has not exactly one SHA-384 digest.
    #[error("event {0} has not one SHA-384 digest")]
    Digest(usize),
    /// An event of a register that no guest can extend.
    #[error("event {event} is of the measurement register {register}; 1 to 4 can be extended")]
    Register {
        /// Which event.
        event: usize,
        /// The register's number in the log: 0 is MRTD, and 1 RTMR0.
        register: u32,
    },
}

/// The log is not the history of the registers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event log does not replay: RTMR{register} is {stated}, and its events give {replayed}")]
pub struct ReplayMismatch {
    /// The first register that differs.
    pub register: usize,
    /// What the log gives.
    pub replayed: Digest384,
    /// What the hardware signed.
    pub stated: Digest384,
}

impl<'a> EventLog<'a> {
    /// A log that was told in another form.
    ///
    /// # Errors
    /// Too many events, or one of a register that there is not.
    pub fn new(events: Vec<Event<'a>>) -> Result<Self, EventLogError> {
        if events.len() > MAX_EVENTS {
            return Err(EventLogError::TooManyEvents);
        }
        for (index, event) in events.iter().enumerate() {
            if usize::from(event.register) >= REGISTERS {
                let register = u32::from(event.register) + 1;
                return Err(EventLogError::Register { event: index + 1, register });
            }
        }
        Ok(Self { events })
    }

    /// Parses the area that the ACPI table `CCEL` points to: a crypto-agile log (TCG PC Client Platform Firmware Profile §10),
    /// in which register 1 is RTMR0. What stands behind the last event is not read.
    ///
    /// # Errors
    /// No such log.
    pub fn parse(area: &'a [u8]) -> Result<Self, EventLogError> {
        if area.len() > MAX_LOG_BYTES {
            return Err(EventLogError::TooLarge(area.len()));
        }
        let mut reader = Reader { rest: area };
        reader.header().ok_or(EventLogError::Header)?;
        let mut events = Vec::new();
        for number in 1.. {
            if reader.at_end() {
                break;
            }
            if number > MAX_EVENTS {
                return Err(EventLogError::TooManyEvents);
            }
            let (register, kind, digests) = reader.event_start().ok_or(EventLogError::Truncated(number))?;
            let algorithm = reader.short().ok_or(EventLogError::Truncated(number))?;
            if (digests, algorithm) != (1, SHA384) {
                return Err(EventLogError::Digest(number));
            }
            let (digest, content) = reader.event_rest().ok_or(EventLogError::Truncated(number))?;
            if kind == NO_ACTION {
                continue;
            }
            match u8::try_from(register) {
                Ok(register @ 1..=4) => events.push(Event { register: register - 1, kind, digest, content }),
                _ => return Err(EventLogError::Register { event: number, register }),
            }
        }
        Ok(Self { events })
    }

    /// The events.
    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }

    /// The registers after all events.
    pub fn replay(&self) -> [Digest384; REGISTERS] {
        let mut registers = [Digest384::ZERO; REGISTERS];
        for event in &self.events {
            let register = &mut registers[usize::from(event.register)];
            *register = register.extend(event.digest);
        }
        registers
    }

    /// Checks that the log is the history of these registers, which the hardware signed.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, signed: &[Digest384; REGISTERS]) -> Result<(), ReplayMismatch> {
        for (register, (replayed, stated)) in self.replay().into_iter().zip(*signed).enumerate() {
            if replayed != stated {
                return Err(ReplayMismatch { register, replayed, stated });
            }
        }
        Ok(())
    }
}

impl Event<'_> {
    /// The specification's name of its kind, if it is one of those that boots of guests have.
    pub fn kind_name(&self) -> Option<&'static str> {
        KINDS.iter().find(|(kind, _)| *kind == self.kind).map(|(_, name)| *name)
    }

    /// Whether the digest is that of the content, so that a log that replays vouches for the content as well.
    pub fn is_of_content(&self) -> bool {
        self.digest == Digest384::of(&[self.content])
    }
}

/// The digest of an event that a guest itself extends while it runs, as dstack has it: SHA-384 of kind (little-endian), name and
/// payload, with colons between them. The name must have no colon, or two events could have one digest.
pub fn runtime_digest(kind: u32, name: &str, payload: &[u8]) -> Digest384 {
    Digest384::of(&[&kind.to_le_bytes(), b":", name.as_bytes(), b":", payload])
}

/// What is left of the area.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The first event, in the form of the older log: no register, no action, no digest, and what digests the others have.
    fn header(&mut self) -> Option<()> {
        let (register, kind) = (self.word()?, self.word()?);
        let digest = self.take(20)?;
        let length = self.word()?;
        let content = self.take(usize::try_from(length).ok()?)?;
        // Behind the signature: platform class, version, size of numbers.
        let algorithms = content.strip_prefix(SIGNATURE)?.get(8..)?;
        let sha384_only = [&1_u32.to_le_bytes()[..], &SHA384.to_le_bytes(), &48_u16.to_le_bytes()].concat();
        let vendor = algorithms.strip_prefix(sha384_only.as_slice())?;
        let (length, vendor) = vendor.split_first()?;
        // Firmware gives the header another register number than zero at places; it is of no consequence.
        let _ = register;
        let valid = kind == NO_ACTION && digest == [0; 20] && usize::from(*length) == vendor.len();
        valid.then_some(())
    }

    /// Whether here no event begins: nothing is left, or the filling of the area.
    fn at_end(&self) -> bool {
        matches!(array::<8>(self.rest, 0), Some(start) if start == [0xff; 8] || start == [0; 8])
            || self.rest.iter().all(|byte| matches!(byte, 0 | 0xff)) && self.rest.len() < 8
    }

    fn event_start(&mut self) -> Option<(u32, u32, u32)> {
        Some((self.word()?, self.word()?, self.word()?))
    }

    fn event_rest(&mut self) -> Option<(Digest384, &'a [u8])> {
        let digest = Digest384(self.take(48)?.try_into().ok()?);
        let length = self.word()?;
        Some((digest, self.take(usize::try_from(length).ok()?)?))
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The first event's content begins with it.
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// `TPM_ALG_SHA384`.
const SHA384: u16 = 0x000c;
/// `EV_NO_ACTION`: an event that extends nothing.
const NO_ACTION: u32 = 3;
/// TCG PC Client Platform Firmware Profile §10.4.1, "Event Types".
const KINDS: [(u32, &str); 17] = [
    (0x0000_0001, "EV_POST_CODE"),
    (0x0000_0004, "EV_SEPARATOR"),
    (0x0000_0005, "EV_ACTION"),
    (0x0000_0006, "EV_EVENT_TAG"),
    (0x0000_000a, "EV_PLATFORM_CONFIG_FLAGS"),
    (0x0000_000d, "EV_IPL"),
    (0x8000_0001, "EV_EFI_VARIABLE_DRIVER_CONFIG"),
    (0x8000_0002, "EV_EFI_VARIABLE_BOOT"),
    (0x8000_0003, "EV_EFI_BOOT_SERVICES_APPLICATION"),
    (0x8000_0006, "EV_EFI_GPT_EVENT"),
    (0x8000_0007, "EV_EFI_ACTION"),
    (0x8000_0008, "EV_EFI_PLATFORM_FIRMWARE_BLOB"),
    (0x8000_0009, "EV_EFI_HANDOFF_TABLES"),
    (0x8000_000a, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"),
    (0x8000_000b, "EV_EFI_HANDOFF_TABLES2"),
    (0x8000_000c, "EV_EFI_VARIABLE_BOOT2"),
    (0x8000_00e0, "EV_EFI_VARIABLE_AUTHORITY"),
];
