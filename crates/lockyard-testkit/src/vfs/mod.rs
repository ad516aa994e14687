//! SQLite's files on a simulated disk: a file system that is registered with SQLite.
//!
//! It does what SQLite's own for Unix does, in the same order and with the same answers, so that a
//! power cut here is one there: a new log's directory is synced with its first sync, a database's
//! never; writes are safe beside what they do not touch; there is no memory map.
#![expect(unsafe_code, reason = "SQLite calls back through C function pointers")]

mod sharing;

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
};

use rusqlite::ffi;

pub(crate) use self::sharing::Sharing;
use self::sharing::{Busy, Holder, Shared};
use crate::disk::{Call, NodeId, SimDisk};

/// The name under which SQLite finds simulated disks.
pub(crate) const NAME: &str = "lockyard-sim";

const C_NAME: &CStr = c"lockyard-sim";

/// Registers the file system, once per process.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a null name asks for the default file system, which lives as long as the process.
        let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!system.is_null(), "SQLite comes with a file system");
        let vfs = ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: c_int::try_from(size_of::<SimFile>()).expect("a small struct"),
            mxPathname: 512,
            pNext: ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            // For time, sleep and randomness, which are not the disk's.
            pAppData: system.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // SAFETY: the struct is leaked, so that it outlives every connection, and has all the
        // callbacks that its version asks for.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
        assert_eq!(code, ffi::SQLITE_OK, "a file system can be registered");
    });
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// What SQLite allocates for each file; it begins as SQLite expects.
#[repr(C)]
struct SimFile {
    base: ffi::sqlite3_file,
    open: *mut OpenFile,
}

struct OpenFile {
    disk: Arc<SimDisk>,
    node: NodeId,
    holder: Holder,
    path: Option<PathBuf>,
    delete_on_close: bool,
    /// Set until the directory of a new log was synced.
    syncs_directory: AtomicBool,
}

impl OpenFile {
    fn shared<T>(&self, work: impl FnOnce(&mut Shared) -> T) -> T {
        self.disk.sharing.with(self.node, work)
    }
}

/// The file behind SQLite's pointer.
///
/// # Safety
/// `file` was filled by [`open`] and not yet closed.
unsafe fn opened<'f>(file: *mut ffi::sqlite3_file) -> &'f OpenFile {
    // SAFETY: `open` put a leaked box there, which only `close` takes back; the struct begins with
    // SQLite's, so the pointer is to it.
    unsafe { &*(*file.cast::<SimFile>()).open }
}

/// The path that SQLite passes.
///
/// # Safety
/// `name` is a string that ends with 0 and lives while the call runs.
unsafe fn path_of<'p>(name: *const c_char) -> &'p Path {
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

fn code(outcome: io::Result<()>, failed: c_int) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => match failed {
            ffi::SQLITE_IOERR_WRITE => ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_SHMMAP => ffi::SQLITE_IOERR_SHMSIZE,
            other => other,
        },
        Err(_) => failed,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let sim = file.cast::<SimFile>();
    // SAFETY: SQLite gives `szOsFile` bytes at `file`. Without methods it will not call `close`.
    unsafe { (*sim).base.pMethods = ptr::null() };
    if name.is_null() {
        // A temporary file: `temp_store=MEMORY` leaves none.
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite passes a C string that lives until the file is closed.
    let path = unsafe { path_of(name) };
    let Some(disk) = SimDisk::holding(path) else { return ffi::SQLITE_CANTOPEN };
    let found = if flags & ffi::SQLITE_OPEN_CREATE == 0 {
        disk.find(path).map(|node| node.map(|node| (node, false)))
    } else {
        disk.create(path, flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0).map(Some)
    };
    let Ok(Some((node, new))) = found else { return ffi::SQLITE_CANTOPEN };
    let logs =
        ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    let open = OpenFile {
        disk,
        node,
        holder: NEXT.fetch_add(1, Ordering::Relaxed),
        path: Some(path.to_owned()),
        delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
        syncs_directory: AtomicBool::new(new && flags & logs != 0),
    };
    // SAFETY: as above; the box is taken back by `close`, which SQLite calls once. `out_flags` may
    // be null, and is written only if it is not.
    unsafe {
        (*sim).open = Box::into_raw(Box::new(open));
        (*sim).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` leaked this box, and SQLite closes a file once.
    let open = unsafe { Box::from_raw((*file.cast::<SimFile>()).open) };
    open.shared(|shared| {
        shared.unlock(open.holder, ffi::SQLITE_LOCK_NONE);
        shared.unmap(open.holder);
    });
    if open.delete_on_close
        && let Some(path) = &open.path
    {
        return code(open.disk.remove(path), ffi::SQLITE_IOERR_DELETE);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let amount = length(amount.into());
    // SAFETY: SQLite gives an open file and a buffer of `amount` bytes that is its own until we
    // return; it may be uninitialised, so it is filled before it is looked at.
    let (open, buffer) = unsafe {
        ptr::write_bytes(buffer.cast::<u8>(), 0, amount);
        (opened(file), std::slice::from_raw_parts_mut(buffer.cast::<u8>(), amount))
    };
    match open.disk.read(open.node, buffer, length(offset)) {
        Ok(there) if there == amount => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives an open file and `amount` bytes that do not change until we return.
    let (open, bytes) = unsafe {
        (opened(file), std::slice::from_raw_parts(bytes.cast::<u8>(), length(amount.into())))
    };
    code(open.disk.write(open.node, bytes, length(offset)), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    code(open.disk.truncate(open.node, length(size)), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    let synced = open.disk.sync(open.node);
    if synced.is_ok()
        && open.syncs_directory.swap(false, Ordering::Relaxed)
        && let Some(directory) = open.path.as_deref().and_then(Path::parent)
    {
        // SQLite's own does not look at the answer either.
        drop(open.disk.sync_directory(directory));
    }
    code(synced, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    match open.disk.length(open.node) {
        Ok(length) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *size = i64::try_from(length).expect("a simulated file fits memory") };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    if open.disk.note(Call::Lock).is_err() {
        return ffi::SQLITE_IOERR_LOCK;
    }
    busy(open.shared(|shared| shared.lock(open.holder, level)))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    open.shared(|shared| shared.unlock(open.holder, level));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(
    file: *mut ffi::sqlite3_file,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives an open file and a place for the answer.
    unsafe {
        let open = opened(file);
        *answer = open.shared(|shared| shared.is_reserved()).into();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    index: c_int,
    size: c_int,
    extend: c_int,
    place: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    let noted = open.disk.note(Call::Map);
    if noted.is_err() {
        return code(noted, ffi::SQLITE_IOERR_SHMMAP);
    }
    let (index, size) = (length(index.into()), length(size.into()));
    let region = open.shared(|shared| shared.region(open.holder, index, size, extend != 0));
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *place = region.map_or(ptr::null_mut(), |memory| memory.as_ptr().cast()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    if flags & ffi::SQLITE_SHM_LOCK != 0 && open.disk.note(Call::Lock).is_err() {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    let (first, count) = (length(first.into()), length(count.into()));
    busy(open.shared(|shared| shared.slots(open.holder, first, count, flags)))
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    // Taking the lock orders this thread with all others, as SQLite's own does.
    open.shared(|_| ());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let open = unsafe { opened(file) };
    open.shared(|shared| shared.unmap(open.holder));
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_directory: c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let path = unsafe { path_of(name) };
    let Some(disk) = SimDisk::holding(path) else { return ffi::SQLITE_IOERR_DELETE };
    match disk.remove(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return ffi::SQLITE_IOERR_DELETE_NOENT;
        }
        Err(_) => return ffi::SQLITE_IOERR_DELETE,
    }
    match path.parent() {
        Some(parent) if sync_directory != 0 => {
            code(disk.sync_directory(parent), ffi::SQLITE_IOERR_DIR_FSYNC)
        }
        _ => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let path = unsafe { path_of(name) };
    let Some(disk) = SimDisk::holding(path) else { return ffi::SQLITE_IOERR_ACCESS };
    // An empty file counts as none, as SQLite's own has it.
    let there = disk.find(path).and_then(|node| match node {
        Some(node) => disk.length(node).map(|length| length > 0),
        None => Ok(false),
    });
    match there {
        Ok(there) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *answer = there.into() };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_ACCESS,
    }
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if bytes.len() > length(room.into()) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite gives `room` bytes, which is enough, and they do not overlap with the name.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    ffi::SQLITE_OK
}

/// SQLite's own file system, which does everything that is not about files.
///
/// # Safety
/// `vfs` is the one that [`register`] made.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `register` put the default file system there; SQLite never moves or frees it.
    unsafe { (*vfs).pAppData.cast() }
}

unsafe extern "C" fn randomness(
    vfs: *mut ffi::sqlite3_vfs,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: passes SQLite's own arguments on.
    unsafe {
        let system = system(vfs);
        (*system).xRandomness.map_or(0, |randomness| randomness(system, length, out))
    }
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    // SAFETY: passes SQLite's own arguments on.
    unsafe {
        let system = system(vfs);
        (*system).xSleep.map_or(0, |sleep| sleep(system, micros))
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: passes SQLite's own arguments on.
    unsafe {
        let system = system(vfs);
        (*system).xCurrentTime.map_or(ffi::SQLITE_ERROR, |time| time(system, out))
    }
}

unsafe extern "C" fn current_time_int64(
    vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: passes SQLite's own arguments on.
    unsafe {
        let system = system(vfs);
        (*system).xCurrentTimeInt64.map_or(ffi::SQLITE_ERROR, |time| time(system, out))
    }
}

fn busy(outcome: Result<(), Busy>) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(Busy) => ffi::SQLITE_BUSY,
    }
}

/// A number that SQLite promises not to be negative.
fn length(number: i64) -> usize {
    usize::try_from(number).expect("SQLite passes lengths and offsets")
}
