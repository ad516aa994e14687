//! The admin socket of a running server.

use std::{
    fs::{File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    SOCKET,
    protocol::{Answer, LINE_BYTES_MAX, Question, Request, UpkeepRequest, VERSION},
};
use crate::{
    failure::{Failure, Outcome},
    instance::{Instance, blocking_outcome},
    private_file,
};

/// How long a client may take to send its line or to take the answer.
const LINE_TIME_MAX: Duration = Duration::from_secs(10);

/// The bound socket.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// A path to `directory` that is short however deep it lies.
pub(super) fn through(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

impl AdminSocket {
    /// Binds the socket; whoever holds the data directory's lock may take an old one's place.
    pub(crate) fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(SOCKET);
        private_file::remove(&path)?;
        let directory = File::open(data_dir)?;
        // Nobody else gets through the directory in the meantime.
        let listener = UnixListener::bind(through(&directory).join(SOCKET))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers until `stop`; then removes the socket.
    pub(crate) async fn serve(self, instance: Arc<Instance>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    tasks.spawn(answer_one(stream, Arc::clone(&instance), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        if let Err(error) = private_file::remove(&self.path) {
            tracing::warn!(%error, "the admin socket could not be removed");
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn answer_one(stream: UnixStream, instance: Arc<Instance>, stop: CancellationToken) {
    let mut stream = BufReader::new(stream);
    let outcome = match read_question(&mut stream).await {
        Ok(Request::Upkeep(request)) => {
            return answer_upkeep(&mut stream, &instance, request, &stop).await;
        }
        Ok(request) => perform(&instance, request).await,
        Err(failure) => Err(failure),
    };
    if let Err(error) = write_answer(&mut stream, Answer::new(outcome)).await {
        tracing::debug!(%error, "an operator did not take the answer");
    }
}

/// Answers with progress once in a while and a report at the end. Upkeep stops when the operator
/// goes away or the server stops.
async fn answer_upkeep(
    stream: &mut BufReader<UnixStream>,
    instance: &Instance,
    request: UpkeepRequest,
    stop: &CancellationToken,
) {
    let cancel = stop.child_token();
    let (tell, told) = watch::channel(String::new());
    let mut work = std::pin::pin!(super::perform_upkeep(instance, request, &cancel, &tell));
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut work => break outcome,
            () = tokio::time::sleep(super::SHOW_EVERY) => {}
        }
        let progress = told.borrow().clone();
        if write_answer(stream, Answer::progress(progress)).await.is_err() {
            cancel.cancel();
        }
    };
    for answer in Answer::report(outcome) {
        if let Err(error) = write_answer(stream, answer).await {
            tracing::debug!(%error, "an operator did not take the report");
            return;
        }
    }
}

async fn read_question(stream: &mut BufReader<UnixStream>) -> Outcome<Request> {
    let mut line = Vec::new();
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut limited = stream.take(most);
    match timeout(LINE_TIME_MAX, limited.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) if line.ends_with(b"\n") => {}
        Ok(Ok(_)) => {
            return Err(Failure::text(format!(
                "a request is one line of at most {LINE_BYTES_MAX} bytes"
            )));
        }
        Ok(Err(error)) => return Err(Failure::new(&error)),
        Err(_elapsed) => return Err(Failure::text("the request did not arrive in time")),
    }
    let question: Question = serde_json::from_slice(&line).map_err(|error| {
        Failure::new(&error).context("the request is not understood").advise(
            "the server may be of another version: use the `lockyard` that it was started with",
        )
    })?;
    if question.version != VERSION {
        return Err(Failure::text(format!(
            "the server speaks version {VERSION} of the admin protocol, the command version {}",
            question.version
        )));
    }
    Ok(question.request)
}

async fn perform(instance: &Arc<Instance>, request: Request) -> Outcome<Vec<String>> {
    match request {
        Request::Key(request) => {
            let changes = request.is_change();
            let mut lines = super::perform_on_vault(&instance.opened_vault(), request).await?;
            if changes {
                // The keyring hears of changes by itself; waiting here for its answer means that
                // whoever runs the command may rely on it when the command returns.
                instance.keyring.changed().await;
                lines.extend(super::registries::standings(instance).await?);
            }
            Ok(lines)
        }
        Request::Registry(request) => super::perform_on_registries(instance, request).await,
        Request::Identity(request) => {
            let (keeper, changes) = (Arc::clone(instance), request.is_change());
            let deed = request.deed();
            let done = blocking_outcome(move || super::perform_on_identities(&keeper, request));
            let done = done.await;
            let mut warning = None;
            if let Some(deed) = deed {
                let failure = done.as_ref().err().map(ToString::to_string);
                warning = instance.opened_vault().record(deed, failure).await;
            }
            let mut lines = done?;
            lines.extend(warning);
            if changes {
                // As above: a registry may act as this identity.
                instance.keyring.changed().await;
            }
            Ok(lines)
        }
        Request::Upkeep(_) => Err(Failure::text("upkeep answers in several lines")),
    }
}

async fn write_answer(stream: &mut BufReader<UnixStream>, answer: Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(&answer)?;
    if line.len() >= LINE_BYTES_MAX {
        let failure = Failure::text("the answer is too long for the admin socket")
            .advise("ask for less, or stop the server and run the command again");
        line = serde_json::to_vec(&Answer::new(Err(failure)))?;
    }
    line.push(b'\n');
    let written = timeout(LINE_TIME_MAX, async {
        stream.write_all(&line).await?;
        stream.flush().await
    });
    written.await.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}
