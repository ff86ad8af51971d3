//! Packages fetched from folders and repositories: the same lock and the same packages in place as with dbt.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::{json, Value};

use crate::Pair;

fn git(dir: &Path, arguments: &[&str]) -> String {
    let identity =
        ["-c", "user.name=keeper", "-c", "user.email=keeper@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").arg("-C").arg(dir).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn packages_of_folders_and_repositories_are_locked_and_put_in_place_as_dbt_does_it() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let at = pair.dir.path();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
        fs::write(at.join(path), text).unwrap();
    };
    for side in ["theirs", "ours"] {
        write(&format!("{side}/flour/dbt_project.yml"), "name: flour\n");
        write(&format!("{side}/flour/macros/of.sql"), "{% macro of_flour() %}1{% endmacro %}");
    }
    write("mill/inner/dbt_project.yml", "name: mill\n");
    write("mill/inner/packages.yml", "packages:\n  - local: ../flour\n");
    write("mill/inner/macros/of.sql", "{% macro of_mill() %}{{ flour.of_flour() }} + 1{% endmacro %}");
    let mill = at.join("mill");
    git(&mill, &["init", "--quiet"]);
    git(&mill, &["add", "-A"]);
    git(&mill, &["commit", "--quiet", "-m", "first"]);
    git(&mill, &["tag", "v1"]);
    let url = format!("file://{}", mill.display());
    let packages = format!("packages:\n  - git: \"{{{{ env_var('NO_SUCH', '{url}') }}}}\"\n    revision: v1\n    subdirectory: inner\n");
    pair.write("packages.yml", &packages);
    let both = |arguments: &[&str]| pair.ends_alike(arguments);
    let lock = |side: &str| fs::read_to_string(pair.at(side).join("package-lock.yml")).unwrap();
    assert!(String::from_utf8_lossy(&pair.ours(&["ls"]).stderr).contains("millstream dbt deps"));
    both(&["deps", "--lock"]);
    assert_eq!(lock("ours"), lock("theirs"));
    assert!(!pair.at("ours").join("dbt_packages").exists());
    both(&["deps"]);
    for (side, package) in [("ours", "flour"), ("theirs", "flour"), ("ours", "mill"), ("theirs", "mill")] {
        assert!(
            pair.at(side).join("dbt_packages").join(package).join("macros/of.sql").exists(),
            "{side} {package}"
        );
    }
    pair.write("models/ground.sql", "select {{ mill.of_mill() }} as a");
    pair.both(&["run", "--select", "ground"]);
    // What is locked stays until something newer is asked for; a lock of dbt's is as good as ours.
    write("mill/inner/macros/of.sql", "{% macro of_mill() %}{{ flour.of_flour() }} + 2{% endmacro %}");
    git(&mill, &["commit", "--quiet", "-am", "second"]);
    git(&mill, &["tag", "-f", "v1"]);
    let locked = lock("ours");
    fs::copy(pair.at("theirs").join("package-lock.yml"), pair.at("ours").join("package-lock.yml")).unwrap();
    git(&mill, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    assert!(pair.ours(&["deps"]).status.success());
    assert_eq!(lock("ours"), locked);
    assert!(fs::read_to_string(pair.at("ours").join("dbt_packages/mill/macros/of.sql"))
        .unwrap()
        .contains("+ 1"));
    both(&["deps", "--upgrade"]);
    assert_eq!(lock("ours"), lock("theirs"));
    assert_ne!(lock("ours"), locked);
    let commit = git(&mill, &["rev-parse", "HEAD"]);
    pair.write("packages.yml", &format!("packages:\n  - {{git: \"{url}\", revision: {commit}, subdirectory: inner}}\n  - local: ../flour\n"));
    both(&["deps"]);
    assert_eq!(lock("ours"), lock("theirs"));
    let kept = lock("ours");
    // Nothing that was in place is lost by what can't be had.
    for (packages, words) in [
        (format!("packages:\n  - {{git: \"{url}\", revision: nowhere}}\n"), "git can't get"),
        (format!("packages:\n  - {{git: \"{url}\", revision: v1, subdirectory: none}}\n"), "no dbt_project.yml"),
        (format!("packages:\n  - {{git: \"{url}\", revision: v1, subdirectory: inner}}\n  - {{git: \"{url}\", revision: main, subdirectory: inner}}\n"), "two revisions"),
        ("packages:\n  - local: ../nowhere\n".to_owned(), "can't read"),
        ("packages:\n  - {}\n".to_owned(), "a package is"),
    ] {
        pair.write("packages.yml", &packages);
        let ours = pair.ours(&["deps"]);
        let told = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!(ours.status.code(), Some(2), "{told}");
        assert!(told.contains(words), "{words}\n{told}");
        assert_eq!(lock("ours"), kept);
        assert!(pair.at("ours").join("dbt_packages/mill/dbt_project.yml").exists());
    }
    // One more, in the place of what there is of it; what can't be had is not asked for.
    pair.write(
        "packages.yml",
        &format!("packages:\n  - git: {url}\n    revision: main\n    subdirectory: inner\n"),
    );
    both(&["deps", "--add-package", "../flour", "--source", "local"]);
    // dbt takes another hash of what it has just written itself, and locks it anew.
    both(&["deps"]);
    assert_eq!(lock("ours"), lock("theirs"));
    let asked = || fs::read_to_string(pair.at("ours").join("packages.yml")).unwrap();
    assert!(asked().contains("    subdirectory: inner\n  - local: \"../flour\"\n"), "{}", asked());
    let (before, kept) = (asked(), lock("ours"));
    let told = String::from_utf8_lossy(&pair.ours(&["deps", "--add-package", "acme/flour@nothing"]).stderr)
        .into_owned();
    assert!(told.contains("is no version of a package"), "{told}");
    assert_eq!((asked(), lock("ours")), (before, kept));
    pair.write("packages.yml", "packages:\n  - {private: calvinball/rules}\n");
    let told = String::from_utf8_lossy(&pair.ours(&["deps"]).stderr).into_owned();
    assert!(
        told.contains("MS9108") && told.contains("`private`") && told.contains("packages.yml:2"),
        "{told}"
    );
}

/// A hub of this machine's own, which gives what is in a directory until the test ends.
struct LocalHub {
    address: String,
    dir: PathBuf,
}

impl LocalHub {
    fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let root = dir.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
                let (status, body) = match fs::read(root.join(path)) {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(&body));
            }
        });
        LocalHub { address, dir: dir.to_owned() }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An archive of a package whose macro tells its version.
    fn archive(&self, file: &str, name: &str, told: &str) -> String {
        let top = format!("{name}-{told}");
        self.write(&format!("made/{top}/dbt_project.yml"), &format!("name: {name}\n"));
        self.write(
            &format!("made/{top}/macros/of.sql"),
            &format!("{{% macro told() %}}'{told}'{{% endmacro %}}"),
        );
        let made = self.dir.join("made");
        let tar =
            Command::new("tar").arg("-czf").arg(self.dir.join(file)).arg("-C").arg(&made).arg(&top).status();
        assert!(tar.unwrap().success());
        format!("{}{file}", self.address)
    }

    /// Packages with their versions, each with what it asks for and for which dbt it is.
    fn publish(&self, package: &str, versions: &[(&str, Value, Value)]) {
        let name = package.split('/').next_back().unwrap();
        let versions: serde_json::Map<String, Value> = versions
            .iter()
            .map(|(version, packages, required)| {
                let url = self.archive(&format!("{name}.{version}.tar.gz"), name, version);
                let told = json!({
                    "id": format!("{package}/{version}"), "name": name, "version": version, "packages": packages,
                    "require_dbt_version": required, "downloads": {"tarball": url, "format": "tgz", "sha1": ""},
                });
                ((*version).to_owned(), told)
            })
            .collect();
        let told = json!({"name": name, "namespace": "acme", "latest": "", "versions": versions});
        self.write(&format!("api/v1/{package}.json"), &told.to_string());
    }
}

#[test]
fn packages_of_a_hub_and_archives_are_resolved_locked_and_installed_as_with_dbt() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let hub = LocalHub::start(&pair.dir.path().join("hub"));
    let any = || json!([]);
    hub.write("api/v1/index.json", &json!(["acme/flour", "acme/mill", "acme/sieve"]).to_string());
    hub.publish(
        "acme/flour",
        &[
            ("1.0.0", any(), any()),
            ("1.2.0", any(), any()),
            ("1.10.0", any(), any()),
            ("2.0.0", any(), any()),
            ("2.1.0-rc1", any(), any()),
        ],
    );
    let wants = |version: Value| json!([{"package": "acme/flour", "version": version}]);
    hub.publish(
        "acme/mill",
        &[
            ("0.1.0", wants(json!([">=1.0.0", "<2.0.0"])), json!([">=1.0.0", "<2.0.0"])),
            ("0.2.0", wants(json!("1.2.0")), json!(">=1.3.0")),
            ("0.3.0", any(), json!([">=2.0.0", "<3.0.0"])),
        ],
    );
    let sieve = hub.archive("sieve.tgz", "sieve", "kept");
    let run = |side: &str, arguments: &[&str]| {
        let mut command =
            if side == "ours" { pair.our_command(arguments) } else { pair.their_command(arguments) };
        command.env("DBT_PACKAGE_HUB_URL", &hub.address).output().unwrap()
    };
    let lock = |side: &str| fs::read_to_string(pair.at(side).join("package-lock.yml")).unwrap();
    let installed = |side: &str| -> Vec<String> {
        let dir = pair.at(side).join("dbt_packages");
        let told = |name: &str| fs::read_to_string(dir.join(name).join("macros/of.sql")).unwrap_or_default();
        ["flour", "mill", "sieve"].map(told).to_vec()
    };
    let both = |arguments: &[&str]| {
        let (theirs, ours) = (run("theirs", arguments), run("ours", arguments));
        let told =
            format!("{}{}", String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&ours.stderr));
        let other = String::from_utf8_lossy(&theirs.stdout).into_owned();
        assert_eq!(ours.status.code(), theirs.status.code(), "{told}\n{other}");
        assert_eq!(lock("ours"), lock("theirs"), "{told}");
        assert_eq!(installed("ours"), installed("theirs"), "{told}");
        told
    };
    // The newest that both ask for, and that is for this dbt.
    pair.write("packages.yml", &format!("packages:\n  - package: acme/flour\n    version: [\">=1.0.0\", \"<=1.10.0\"]\n  - package: acme/mill\n    version: \">=0.1.0\"\n  - tarball: {sieve}\n    name: sieve\n"));
    both(&["deps", "--lock"]);
    assert!(!pair.at("ours").join("dbt_packages").exists());
    both(&["deps"]);
    assert!(installed("ours")[0].contains("'1.2.0'"), "{:?}", installed("ours"));
    pair.write(
        "models/ground.sql",
        "select {{ flour.told() }} as a, {{ mill.told() }} as b, {{ sieve.told() }} as c",
    );
    pair.both(&["run", "--select", "ground"]);
    // What is locked stays, until newer ones are asked for.
    hub.publish(
        "acme/mill",
        &[("0.1.0", any(), any()), ("0.2.0", wants(json!("1.2.0")), any()), ("0.4.0", any(), any())],
    );
    both(&["deps"]);
    both(&["deps", "--upgrade"]);
    assert!(lock("ours").contains("0.4.0") && lock("ours").contains("1.10.0"), "{}", lock("ours"));
    pair.write(
        "packages.yml",
        "packages:\n  - {package: acme/flour, version: \">2.0.0\", install_prerelease: true}\n",
    );
    both(&["deps"]);
    assert!(lock("ours").contains("2.1.0-rc1"));
    let (kept, there) = (lock("ours"), installed("ours"));
    for (packages, words) in [
        ("{package: acme/flower, version: 1.0.0}", "did you mean `acme/flour`?"),
        ("{package: acme/flour, version: 3.0.0}", "no version of `acme/flour` is 3.0.0"),
        ("{package: acme/flour, version: [\">=1.0.0\", \"<1.0.0\"]}", "no version of `acme/flour`"),
        ("{package: acme/flour, version: newest}", "is no version of a package"),
        ("{package: acme/flour}", "has no `version`"),
        (
            "{package: acme/flour, version: 1.0.0}\n  - {package: acme/flour, version: 1.2.0}",
            "no version of `acme/flour` is 1.0.0 and 1.2.0",
        ),
        ("{tarball: \"http://127.0.0.1:1/a.tgz\", name: a}", "curl can't get"),
        ("{tarball: \"file:///etc/passwd\", name: a}", "no address of the web"),
        ("{tarball: x}", "has a `name`"),
    ] {
        pair.write("packages.yml", &format!("packages:\n  - {packages}\n"));
        let ours = run("ours", &["deps"]);
        let told = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert!(ours.status.code() == Some(2) && told.contains(words), "{words}\n{told}");
        assert_eq!((lock("ours"), installed("ours")), (kept.clone(), there.clone()));
    }
    pair.write("packages.yml", "packages:\n  - local: ../acme/flour.git\n");
    for (written, version) in [("acme/flour@>=1.0.0,<1.10.0", "1.2.0"), ("acme/flour@1.0.0", "1.0.0")] {
        let added =
            ["theirs", "ours"].map(|side| run(side, &["deps", "--add-package", written]).status.code());
        assert_eq!(added, [Some(0); 2], "{written}");
        both(&["deps"]);
        assert!(lock("ours").contains(version) && !lock("ours").contains("local"), "{}", lock("ours"));
    }
    // Nobody answers there.
    pair.write("packages.yml", "packages:\n  - {package: acme/flour, version: 1.0.0}\n");
    let mut command = pair.our_command(&["deps"]);
    let alone = command.env("DBT_PACKAGE_HUB_URL", "http://127.0.0.1:1").output().unwrap();
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(told.contains("the hub does not answer") && told.contains("`git:`"), "{told}");
}
