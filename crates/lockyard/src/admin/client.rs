//! Asks a running server through its admin socket. Blocking: the command has nothing else to do.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{
    SOCKET,
    protocol::{Answer, LINE_BYTES_MAX, Question, Report, Request, UpkeepRequest, VERSION},
};
use crate::failure::{Failure, OrFail as _, Outcome};

/// How long a server may be silent; making a large RSA key takes some seconds, and upkeep tells how
/// far it is all the time.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Sends one request to the server that runs on this data directory.
pub(crate) fn ask(data_dir: &Path, request: Request) -> Outcome<Vec<String>> {
    let mut stream = send(data_dir, request)?;
    receive(data_dir, &mut stream)?.into_outcome()
}

/// Asks the server for upkeep; `show` is told how far it is.
pub(crate) fn ask_for_upkeep(
    data_dir: &Path,
    request: UpkeepRequest,
    mut show: impl FnMut(&str),
) -> Outcome<Report> {
    let mut stream = send(data_dir, Request::Upkeep(request))?;
    let mut lines = Vec::new();
    loop {
        let answer = receive(data_dir, &mut stream)?;
        if let Some(progress) = answer.progress {
            show(&progress);
            continue;
        }
        let (more, verdict) = (answer.more, answer.verdict.unwrap_or_default());
        lines.extend(answer.into_outcome()?);
        if !more {
            return Ok(Report { lines, verdict });
        }
    }
}

fn send(data_dir: &Path, request: Request) -> Outcome<BufReader<UnixStream>> {
    let silent = |error| silent(data_dir, &error);
    let mut stream = connect(data_dir).map_err(silent)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(silent)?;
    stream.set_write_timeout(Some(ANSWER_MAX)).map_err(silent)?;
    let mut line = serde_json::to_vec(&Question { version: VERSION, request }).or_fail()?;
    line.push(b'\n');
    stream.write_all(&line).map_err(silent)?;
    Ok(BufReader::new(stream))
}

fn receive(data_dir: &Path, stream: &mut BufReader<UnixStream>) -> Outcome<Answer> {
    let mut answer = Vec::new();
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    stream.take(most).read_until(b'\n', &mut answer).map_err(|error| silent(data_dir, &error))?;
    serde_json::from_slice(&answer).map_err(|error| {
        Failure::new(&error).context("the server's answer is not understood").advise(
            "the server may be of another version: use the `lockyard` that it was started with",
        )
    })
}

fn silent(data_dir: &Path, error: &std::io::Error) -> Failure {
    Failure::new(error)
        .context(&format!(
            "a process uses the data directory `{}` but does not answer",
            data_dir.display()
        ))
        .advise("it may be starting or stopping: try again, or look at its log")
}

/// Connects by way of the directory's descriptor: the path of a socket has room for some hundred
/// bytes only, and a data directory may lie deeper.
fn connect(data_dir: &Path) -> std::io::Result<UnixStream> {
    let directory = std::fs::File::open(data_dir)?;
    UnixStream::connect(super::server::through(&directory).join(SOCKET))
}
