//! What the tests share: a chain in memory, and a PostgreSQL server of their own.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod chain;
pub mod server;

use pox_index::{Filter, Index, InputUse};

/// Everything that an index answers, as text that two indexes can be compared by.
pub fn everything(index: &mut Index) -> String {
    let (status, totals) = (index.status().unwrap(), index.totals().unwrap());
    let mut all = format!("next {} {status:?} {totals:?}\n", index.next());
    let mut filter = Filter::default();
    loop {
        let page = index.tasks(&filter, 50).unwrap().content;
        for row in page.tasks {
            let InputUse { task, history } = index.task(row.task).unwrap().content.unwrap();
            assert_eq!(task, row);
            all += &format!("{task:?}\n{history:?}\n");
        }
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return all,
        }
    }
}
