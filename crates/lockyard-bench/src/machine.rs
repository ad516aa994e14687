//! On what it was measured: figures mean nothing without it.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    clock,
    contestant::{Kind, Stage},
};

/// The machine, the day and the programs.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    file_system: String,
    /// The load average when the run began.
    load: String,
    programs: Vec<(&'static str, String)>,
}

impl Machine {
    /// Looks around.
    pub(crate) fn of(stage: &Stage) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value.trim()).to_owned()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kibibytes = memory.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        let mut programs = Vec::new();
        for (kind, argument) in [
            (Kind::Lockyard, "--version"),
            (Kind::DockerRegistry, "--version"),
            (Kind::Nginx, "-v"),
        ] {
            if let Ok(program) = stage.program(kind)
                && !stage.present(&[kind]).contains(&Kind::Url)
            {
                let said = said(Command::new(program).arg(argument));
                // Some say where they lie, which is nobody's business.
                let said = said.replace(&program.display().to_string(), kind.name());
                programs.push((kind.name(), said));
            }
        }
        Self {
            date: clock::date(),
            processor: value(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kibibytes.unwrap_or_default().div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: said(Command::new("stat").args(["-f", "-c", "%T"]).arg(stage.folder())),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            programs,
        }
    }

    /// One sentence for a table's head.
    pub(crate) fn sentence(&self) -> String {
        let Self { date, processor, cores, memory_gib, kernel, file_system, load, .. } = self;
        let programs: Vec<&str> = self.programs.iter().map(|(_, said)| said.as_str()).collect();
        format!(
            "{date}: {cores} cores of {processor}, {memory_gib} GiB, Linux {kernel}, {file_system}, \
             load average at the start {load}; {}.",
            programs.join(", ")
        )
    }

    /// The load average when the run began.
    pub(crate) fn load(&self) -> f64 {
        self.load.parse().unwrap_or_default()
    }

    /// The same for a program.
    pub(crate) fn document(&self) -> Value {
        json!({
            "date": self.date,
            "processor": self.processor,
            "cores": self.cores,
            "memoryGiB": self.memory_gib,
            "kernel": self.kernel,
            "fileSystem": self.file_system,
            "loadAverage": self.load(),
            "programs": self.programs.iter().map(|(_, said)| said).collect::<Vec<_>>(),
        })
    }
}

/// Returns how many bytes of memory could be used without pushing others out.
pub(crate) fn memory_available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// Runs a program and returns the first line of whatever it said.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all).into_owned();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
