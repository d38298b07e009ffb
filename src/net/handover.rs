//! Giving listening sockets to the next binary, by a unix socket that is its standard input.
//!
//! A frame is a length byte pair (big endian), a label, and one descriptor that travels with the
//! first byte; a frame of length zero without a descriptor is the end. So the receiver knows that
//! it has all of them, and never acts on half a handover.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// More labels than this are no handover of ours.
const MOST: usize = 4096;

/// Sends each descriptor with its label, then the end. Blocks until the other side takes them.
pub fn send(to: impl AsFd, sockets: &[(String, BorrowedFd<'_>)]) -> io::Result<()> {
    let to = to.as_fd();
    for (label, fd) in sockets {
        let length = u16::try_from(label.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| invalid("label is empty or too long"))?;
        let frame = [&length.to_be_bytes(), label.as_bytes()].concat();
        frame_out(to, &frame, Some(*fd))?;
    }
    frame_out(to, &[0, 0], None)
}

fn frame_out(to: BorrowedFd<'_>, frame: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut rest = frame;
    let mut fds = fd.as_ref().map(std::slice::from_ref);
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = fds
            && !control.push(SendAncillaryMessage::ScmRights(fds))
        {
            return Err(invalid("no room for a descriptor"));
        }
        match sendmsg(to, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = &rest[sent..];
                fds = None;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives what [`send`] sent, whole or not at all. Blocks until the end has come.
pub fn receive(from: impl AsFd) -> io::Result<Vec<(String, OwnedFd)>> {
    let from = from.as_fd();
    let mut bytes: Vec<u8> = Vec::new();
    let mut fds = VecDeque::new();
    let mut received = Vec::new();
    loop {
        while let Some((label, used)) = frame_in(&bytes)? {
            bytes.drain(..used);
            let Some(label) = label else {
                return match fds.is_empty() {
                    true => Ok(received),
                    false => Err(invalid("a descriptor without a label")),
                };
            };
            let fd = fds.pop_front().ok_or_else(|| invalid("a label without a descriptor"))?;
            received.push((label, fd));
            if received.len() > MOST {
                return Err(invalid("too many descriptors"));
            }
        }
        if more(from, &mut bytes, &mut fds)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The label at the front, if it is there as a whole; `None` within for the end.
fn frame_in(bytes: &[u8]) -> io::Result<Option<(Option<String>, usize)>> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    let Some(label) = rest.get(..length) else { return Ok(None) };
    let label = std::str::from_utf8(label).map_err(|_| invalid("a label is not text"))?;
    Ok(Some(((length > 0).then(|| label.to_owned()), 2 + length)))
}

fn more(
    from: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    fds: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut part = [0; 512];
    // The kernel never joins bytes of two messages that both carry descriptors.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let into = &mut [IoSliceMut::new(&mut part)];
        match recvmsg(from, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            done => break done?,
        }
    };
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            fds.extend(rights);
        }
    }
    bytes.extend_from_slice(&part[..message.bytes]);
    Ok(message.bytes)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::unix::net::UnixStream;

    use super::super::Endpoint;
    use super::super::listen::{Listen, Socket, open};
    use super::*;

    #[test]
    fn sockets_arrive_with_their_labels_and_still_listen() {
        let listen = Listen::new(Endpoint::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let sockets = open(&listen, 40).unwrap();
        let labels: Vec<_> = (0..sockets.len()).map(|shard| format!("imap#{shard}")).collect();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let received = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&theirs).unwrap());
            let parcel: Vec<_> =
                sockets.iter().zip(&labels).map(|(s, label)| (label.clone(), s.as_fd())).collect();
            send(&ours, &parcel).unwrap();
            receiver.join().unwrap()
        });
        assert_eq!(received.len(), 40);
        let endpoint = sockets[0].endpoint().clone();
        for ((label, fd), want) in received.into_iter().zip(labels) {
            assert_eq!(label, want);
            assert_eq!(Socket::adopt(fd).unwrap().endpoint(), &endpoint);
        }
    }

    #[test]
    fn long_labels_come_whole() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let label = "x".repeat(5000);
        send(&ours, &[(label.clone(), ours.as_fd())]).unwrap();
        let received = receive(&theirs).unwrap();
        assert_eq!(received[0].0, label);
        assert_eq!(
            send(&ours, &[(String::new(), ours.as_fd())]).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn half_a_handover_is_none() {
        for (bytes, want) in [
            (&b""[..], io::ErrorKind::UnexpectedEof),
            (b"\0", io::ErrorKind::UnexpectedEof),
            (b"\0\x05imap", io::ErrorKind::UnexpectedEof),
            (b"\0\x04imap\0\0", io::ErrorKind::InvalidData),
            (b"\0\x01\xff\0\0", io::ErrorKind::InvalidData),
        ] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            assert_eq!(receive(&theirs).unwrap_err().kind(), want, "{bytes:?}");
        }
    }
}
