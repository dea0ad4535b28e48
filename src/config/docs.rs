//! `docs/config.md`, from the declaration of the keys.

use std::fmt::Write as _;

use super::credentials::TYPES;
use super::keys::SECTIONS;

const HEAD: &str = "# Configuration

`meshgate serve --config meshgate.toml` reads this file. Every key may be left out; an unknown key is an error. Relative paths are
relative to the file that holds them. Sizes are written as `64KiB`, `16MiB`, `4GiB` or `1GB`, durations as `500ms`, `30s`, `10m`, `8h` or `1d`.

This page is made from `src/config/keys.rs`; a test fails where the two differ, and `MESHGATE_UPDATE_DOCS=1 cargo test config` writes it anew.
";

/// The page, in Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (section, about, keys) in SECTIONS.iter().filter(|(_, _, keys)| !keys.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## `[{section}]`\n\n{}\n\n| key | default | meaning |\n|---|---|---|\n", sentence(about));
        for key in *keys {
            let default = if key.default == "none" { "none".to_owned() } else { format!("`{}`", key.default) };
            let _ =
                writeln!(page, "| `{}` | {default} | {} Takes {}. |", key.name, sentence(key.doc), (key.expected)().replace('|', "\\|"));
        }
    }
    page.push_str(
        "\n## `[credentials.<name>]`\n\nSecrets, by the name that a `domain.yaml` gives them. A secret is written as `{ env = \"NAME\" }` or \
         `{ file = \"path\" }`, never as it is.\n`[credentials.pseudonyms]`, of type `key`, is what the mask `pseudonym` is made with; where it is \
         absent, one is made and kept in the state folder. To change it, keep the old secret as `previous`: pseudonyms stay as they are, and with them \
         every join with what a consumer domain has kept, until `rotated` lists that domain (`rotated = \"pricing, fraud\"`). Its pseudonyms \
         are then made with `secret`. Take `previous` away when all have moved.\n\n\
         A credential of type `s3` opens the storage prefixes that name it and nothing else; `domains` (`\"claims, policies\"`) says which domains' \
         storage may, and without it any may. Nothing else is a credential: not the environment's `AWS_…`, no profile, no role of the \
         machine, and no proxy of the environment is used. `endpoint` is for storage that is not AWS's own; one of `http://` needs \
         `allow_http = true`. `virtual_hosted_style` puts the bucket before the endpoint's host name. `timeout` is how long the storage may say \
         nothing (10s). A request is tried four times at most, a redirect is not followed.\n\n| `type` | settings |\n|---|---|\n",
    );
    for of in TYPES {
        let _ = writeln!(page, "| `{}` | {} |", of.name, of.describe());
    }
    page
}

fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
