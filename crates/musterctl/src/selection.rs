//! Names on a command line as selectors for the daemon.
//!
//! Only the daemon can resolve them. Here they are joined with commas, and long lists are split into several
//! requests, since a request's path is limited.

/// Maximum bytes of names in one request. Percent-encoding may triple them, which is still a short path.
const CHUNK: usize = 4096;

/// Comma-separated lists of these names, each short enough for a request.
pub(crate) fn chunks(names: &[String]) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for name in names {
        match chunks.last_mut() {
            Some(last) if last.len() + 1 + name.len() <= CHUNK => {
                last.push(',');
                last.push_str(name);
            }
            _ => chunks.push(name.clone()),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_are_one_request() {
        let names = ["web:*", "db", "c?che"].map(str::to_owned);
        assert_eq!(chunks(&names), ["web:*,db,c?che"]);
        assert_eq!(chunks(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_long_list_is_cut_between_names_and_loses_none() {
        let names: Vec<String> = (0..5000).map(|number| format!("program-{number}")).collect();
        let chunks = chunks(&names);
        assert!(chunks.len() > 10 && chunks.iter().all(|chunk| chunk.len() <= CHUNK));
        assert_eq!(chunks.join(",").split(',').collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_name_longer_than_a_chunk_still_goes() {
        let names = ["a".repeat(CHUNK + 1), "b".to_owned()];
        assert_eq!(chunks(&names), names);
    }
}
