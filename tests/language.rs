//! The language of comments, messages and pages: words and sentence beginnings that the project avoids.
//! `docs/contributing.md` says how to write instead.

use std::fs;
use std::path::{Path, PathBuf};

/// Banned words and phrases, matched as whole words in any case. They read as translated, or hide the actor.
const WORDS: [&str; 28] = [
    "somebody",
    "nobody",
    "everybody",
    "anybody",
    "whoever",
    "any more",
    "is told",
    "are told",
    "was told",
    "were told",
    "be told",
    "being told",
    "has gone away",
    "have gone away",
    "in force",
    "on its way",
    "on their way",
    "dies of it",
    "died of it",
    "how-manieth",
    "that which",
    "no more than",
    "less rights",
    "for ever",
    "anew",
    "is waited for",
    "are waited for",
    "be waited for",
];

/// Words that must not begin a sentence or a heading, except in a question or before a colon.
const BEGINNINGS: [&str; 11] =
    ["Who", "Whose", "Whom", "What", "So many", "So much", "So long", "For so long", "With what", "By what", "To whom"];

const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".yaml", ".sh", "Dockerfile"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the project, relative to the root.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root).map(Path::to_owned).unwrap_or(path));
            }
        }
    }
    found.sort();
    found
}

/// A piece of prose. The lines of a paragraph are joined, so that sentences are found across line ends.
struct Prose {
    /// The line of each word.
    lines: Vec<usize>,
    words: Vec<String>,
    /// Whether the piece starts at the beginning of a sentence.
    has_sentences: bool,
}

impl Prose {
    fn new(has_sentences: bool) -> Self {
        Self { lines: Vec::new(), words: Vec::new(), has_sentences }
    }

    fn push(&mut self, line: usize, text: &str) {
        for word in text.split_whitespace() {
            self.lines.push(line);
            self.words.push(word.to_owned());
        }
    }
}

/// The comments and string literals of Rust source.
fn prose_of_rust(text: &str) -> Vec<Prose> {
    let (mut found, mut comment) = (Vec::new(), Prose::new(true));
    let mut inside_string = false;
    for (number, line) in text.lines().enumerate() {
        let (strings, said) = split_rust(line, &mut inside_string);
        let said = said.map(|said| said.trim_start_matches(['/', '!']).trim());
        if said.is_none_or(str::is_empty) {
            found.push(std::mem::replace(&mut comment, Prose::new(true)));
        }
        comment.push(number + 1, said.unwrap_or_default());
        // A single word is a name, such as that of a user.
        for string in strings.iter().filter(|string| string.trim().contains(' ')) {
            let mut prose = Prose::new(false);
            prose.push(number + 1, string);
            found.push(prose);
        }
    }
    found.push(comment);
    found
}

/// The string literals of a line, and its comment. A literal may continue on the next line.
fn split_rust<'a>(line: &'a str, inside_string: &mut bool) -> (Vec<String>, Option<&'a str>) {
    let (mut strings, mut string) = (Vec::new(), String::new());
    let mut letters = line.char_indices().peekable();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\\' if *inside_string => drop(letters.next()),
            '"' => {
                *inside_string = !*inside_string;
                strings.push(std::mem::take(&mut string));
            }
            _ if *inside_string => string.push(letter),
            '\'' if line[place..].starts_with("'\"'") => drop(letters.nth(1)),
            '/' if line[place..].starts_with("//") => return (strings, Some(&line[place..])),
            _ => {}
        }
    }
    strings.push(string);
    (strings, None)
}

/// The text of a Markdown page: paragraphs, list items, headings and table cells; and its lines of code, which have no
/// sentences.
fn prose_of_markdown(text: &str) -> Vec<Prose> {
    let (mut found, mut paragraph, mut inside_code) = (Vec::new(), Prose::new(true), false);
    for (number, line) in text.lines().enumerate() {
        let said = line.trim();
        let is_fence = said.starts_with("```");
        inside_code ^= is_fence;
        let is_item = ["- ", "* ", "#", "|", "> "].iter().any(|start| said.starts_with(start));
        if is_fence || inside_code || is_item || said.is_empty() {
            found.push(std::mem::replace(&mut paragraph, Prose::new(!inside_code)));
        }
        for cell in said.trim_start_matches(['#', '-', '>', ' ']).split('|') {
            paragraph.push(number + 1, cell);
            if said.starts_with('|') {
                found.push(std::mem::replace(&mut paragraph, Prose::new(!inside_code)));
            }
        }
    }
    found.push(paragraph);
    found
}

/// The comments of TOML, YAML, a Dockerfile or a script.
fn prose_of_hashes(text: &str) -> Vec<Prose> {
    let (mut found, mut comment) = (Vec::new(), Prose::new(true));
    for (number, line) in text.lines().enumerate() {
        let said = if line.starts_with('#') { line } else { line.split_once(" #").map_or("", |(_, said)| said) };
        let said = said.trim_start_matches(['#', '!']).trim();
        let is_alone = line.trim_start().starts_with('#');
        if said.is_empty() || !is_alone {
            found.push(std::mem::replace(&mut comment, Prose::new(true)));
        }
        comment.push(number + 1, said);
        if !is_alone {
            found.push(std::mem::replace(&mut comment, Prose::new(true)));
        }
    }
    found.push(comment);
    found
}

/// The banned words in a piece of prose, with their lines.
fn betrayals(prose: &Prose) -> Vec<(usize, &'static str)> {
    let bare = |word: &String| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    let words: Vec<String> = prose.words.iter().map(bare).collect();
    let mut found = Vec::new();
    for at in (0..words.len()).filter(|&at| is_prose(prose, at)) {
        let is_here = |phrase: &&&str| {
            phrase
                .split(' ')
                .zip(at..)
                .all(|(word, at)| words.get(at).is_some_and(|here| here.eq_ignore_ascii_case(word)))
        };
        found.extend(WORDS.iter().find(is_here).map(|word| (prose.lines[at], *word)));
        if prose.has_sentences && begins_a_sentence(prose, at) && !asks_or_announces(&prose.words[at..]) {
            found.extend(BEGINNINGS.iter().find(is_here).map(|word| (prose.lines[at], *word)));
        }
    }
    found
}

/// Whether the word at this place is prose and not code.
fn is_prose(prose: &Prose, at: usize) -> bool {
    !prose.words[at].starts_with('`')
}

fn begins_a_sentence(prose: &Prose, at: usize) -> bool {
    let is_capital = prose.words[at].trim_start_matches(['*', '(', '"']).starts_with(char::is_uppercase);
    is_capital && (at == 0 || prose.words[at - 1].trim_end_matches([')', '*', '"']).ends_with(['.', '?', ':', '!']))
}

/// Whether the sentence that begins here ends with a question mark, an ellipsis or a colon.
fn asks_or_announces(words: &[String]) -> bool {
    let ends = ['.', '?', ':', '…'];
    let mut last = words.iter().map(|word| word.trim_end_matches([')', '*', '"'])).filter(|word| word.ends_with(ends));
    last.next().is_some_and(|word| !word.ends_with('.'))
}

/// Every hit below the root, by path and line.
fn betrayals_below(root: &Path) -> Vec<(PathBuf, usize, &'static str)> {
    let mut found = Vec::new();
    for path in files(root) {
        if path == Path::new("tests/language.rs") {
            continue;
        }
        let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let prose = match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") => prose_of_rust(&text),
            Some("md") => prose_of_markdown(&text),
            _ => prose_of_hashes(&text),
        };
        let hits = prose.iter().flat_map(betrayals);
        found.extend(hits.map(|(line, word)| (path.clone(), line, word)));
    }
    found
}

#[test]
fn the_language_is_that_of_the_field() {
    let hits = betrayals_below(root());
    let places = hits
        .iter()
        .map(|(path, line, word)| format!("{}:{line}: \"{word}\": say it in the field's own terms", path.display()));
    let places: Vec<String> = places.collect();
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn the_finder_of_words_finds_them() {
    let hits = |prose: &[Prose]| prose.iter().flat_map(betrayals).collect::<Vec<_>>();
    let rust = "// Who waits\n// is told. Nobody\n\nlet x = \"not any more\"; // fine: what it is\n'\"' // whoever";
    let expected = [(1, "Who"), (2, "is told"), (2, "nobody"), (4, "any more"), (5, "whoever")];
    assert_eq!(hits(&prose_of_rust(rust)), expected);
    let markdown =
        "# What it does\n\nAll of it. So\nmany are lost.\n\n| What a row holds | who |\n```\nWhat is code\nanew\n```\n";
    assert_eq!(hits(&prose_of_markdown(markdown)), [(1, "What"), (3, "So many"), (6, "What"), (9, "anew")]);
    assert_eq!(
        hits(&prose_of_hashes("a = \"Who\" # who waits for ever\n# What it is\n")),
        [(1, "for ever"), (2, "What")]
    );
    let fine = "// What is it? Whoever's guess: What follows: a list. An API word is `somebody_else`.\nlet nobody = 1;";
    assert_eq!(hits(&prose_of_rust(fine)), []);
}
