//! The servers under measurement as processes: started, asked what they cost, ended by their id.
//!
//! Figures come from `/proc`. A server's children count as the server: nginx works in workers.
//! Nothing is ended that was not started here; a server dies with the bench even if that is killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clock,
    failure::{During as _, Failure, Outcome},
};

/// How long a server may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(30);
/// Clock ticks per second in `/proc`: 100 on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// A server that was started here.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program, its output going to `log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        log: &Path,
    ) -> Outcome<Self> {
        let output = |path| File::options().create(true).append(true).open(path);
        let what = || format!("starting {name}");
        // setpriv replaces itself by the program, so the process keeps its id.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program).args(arguments);
        let command = command.stdin(Stdio::null()).stdout(output(log).during(what())?);
        let child = command.stderr(output(log).during(what())?).spawn().during(what())?;
        Ok(Self { name, child, log: log.to_path_buf() })
    }

    /// Waits until it is ready, or says what it said instead.
    pub(crate) fn wait_for(&mut self, ready: impl Fn() -> bool) -> Outcome {
        let mut ended = false;
        let well = clock::wait_until(Duration::from_secs(60), || {
            ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            ended || ready()
        });
        if well && !ended {
            return Ok(());
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let tail = log.lines().rev().take(5).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(Failure::new(format!("{} did not start:\n{tail}", self.name)))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.family().into_iter().map(|id| cpu_of(&format!("/proc/{id}/stat"))).sum()
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.family().into_iter().map(|id| status_line(id, "VmRSS:")).sum()
    }

    /// Forgets the highest resident memory so far.
    pub(crate) fn reset_peak(&self) -> Outcome {
        for id in self.family() {
            let file = format!("/proc/{id}/clear_refs");
            fs::write(&file, "5").during(format!("writing `{file}`"))?;
        }
        Ok(())
    }

    /// Returns the highest resident memory since the last reset, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.family().into_iter().map(|id| status_line(id, "VmHWM:")).sum()
    }

    /// Ends it, in good order if it can.
    pub(crate) fn stop(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).during(format!("ending {}", self.name))?;
        let gone = || self.child.try_wait().is_ok_and(|status| status.is_some());
        if clock::wait_until(END_TIME_MAX, gone) {
            return Ok(());
        }
        self.child.kill().during(format!("killing {}", self.name))?;
        self.child.wait().during(format!("waiting for {}", self.name))?;
        Ok(())
    }

    fn family(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|word| word.parse().ok());
        [id].into_iter().chain(children).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be ended dies with this process.
        drop(self.end());
    }
}

/// Returns the CPU time that ended children of this process have used.
pub(crate) fn children_cpu() -> Duration {
    ticks("/proc/self/stat", 13)
}

fn cpu_of(file: &str) -> Duration {
    ticks(file, 11)
}

/// Adds up a field of a `stat` file and the next, counted behind the program's name.
fn ticks(file: &str, field: usize) -> Duration {
    let text = fs::read_to_string(file).unwrap_or_default();
    sum_of_ticks(&text, field)
}

fn sum_of_ticks(stat: &str, field: usize) -> Duration {
    // The name stands in parentheses and may hold spaces.
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    let words = behind.split_whitespace().skip(field).take(2);
    let ticks: u32 = words.filter_map(|word| word.parse::<u32>().ok()).sum();
    TICK * ticks
}

fn status_line(id: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kibibytes = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_the_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 3 4 20 0 1 0 100 1 1";
        assert_eq!(sum_of_ticks(stat, 11), Duration::from_secs(2));
        assert_eq!(sum_of_ticks(stat, 13), Duration::from_millis(70));
    }
}
