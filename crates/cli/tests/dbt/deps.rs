//! Packages fetched from folders and repositories: the same lock and the same packages in place as with dbt.

use std::{fs, path::Path, process::Command};

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
    pair.write("packages.yml", "packages:\n  - {package: calvinball/rules, version: 1.0.0}\n");
    let told = String::from_utf8_lossy(&pair.ours(&["deps"]).stderr).into_owned();
    assert!(
        told.contains("MS9108") && told.contains("`package`") && told.contains("packages.yml:2"),
        "{told}"
    );
}
