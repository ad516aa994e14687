//! Debian packages: installed for good, or only fetched and unpacked.
//!
//! Nothing is installed that is there already, and nothing without saying so. A package that would
//! start a service as it is installed is unpacked instead: then it changes nothing on the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process;

/// Returns the packages of those programs that are not on this machine.
pub(crate) fn missing(programs: &[(&str, &'static str)]) -> Vec<&'static str> {
    let missing = programs.iter().filter(|(program, _)| process::find(program).is_none());
    missing.map(|(_, package)| *package).collect()
}

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    process::say(&format!("xtask: missing Debian packages: {list}"));
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    let refused = |why| format!("{why}; as root, install: {list}");
    if apt_get(&["update"]).map_err(refused)? && apt_get(&install).map_err(refused)? {
        Ok(())
    } else {
        Err(format!("`apt-get install {list}` failed"))
    }
}

/// Fetches packages and unpacks them into a folder, without what they depend on.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<(), String> {
    let list = packages.join(" ");
    process::say(&format!("xtask: fetching Debian packages: {list}"));
    let archives = folder.join("archives");
    let unusable = |error| format!("`{}` can't be made: {error}", archives.display());
    fs::create_dir_all(&archives).map_err(unusable)?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.current_dir(&archives).args(["-qq", "download"]).args(packages);
        process::run(&mut command)
    };
    // Without package lists, or with old ones, nothing is found.
    let refused = |why| format!("{why}; please install yourself: {list}");
    let fetched = download() || apt_get(&["update"]).map_err(refused)? && download();
    if !fetched {
        return Err(format!("`apt-get download {list}` failed"));
    }
    for archive in fs::read_dir(&archives).map_err(unusable)?.filter_map(Result::ok) {
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(archive.path()).arg(folder);
        if !process::run(&mut command) {
            return Err(format!("`{}` can't be unpacked", archive.path().display()));
        }
    }
    Ok(())
}

/// Runs `apt-get` as root, or says why it can't.
fn apt_get(arguments: &[&str]) -> Result<bool, String> {
    let apt_get = process::find("apt-get").ok_or("no `apt-get` here")?;
    let elevate: &[&str] = match (process::is_root(), process::find("sudo")) {
        (true, _) => &[],
        (false, Some(_)) => &["sudo", "--non-interactive"],
        (false, None) => return Err("not root and no `sudo`".to_owned()),
    };
    let mut words = elevate.to_vec();
    let apt_get = apt_get.to_string_lossy();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", &apt_get, "-qq"]);
    words.extend(arguments);
    let (program, rest) = words.split_first().expect("there is at least `env`");
    Ok(process::run_with_retries(&words.join(" "), Command::new(program).args(rest)))
}
