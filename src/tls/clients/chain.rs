//! Is this client's certificate good? Asked once the handshake is over.
//!
//! nginx lets OpenSSL go on after each thing it finds wrong, and reports the last. So does this, in
//! OpenSSL's order: the chain, its extensions, weak keys, revocation, then signatures and times
//! from the root down. What this finds good webpki must find good too, which knows of constraints
//! on names besides.

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::certificate::Certificate;
use super::reason::Reason;
use super::trust::Known;
use crate::tls::provider;

/// So many certificates that a client sends are looked at.
const MOST: usize = 16;

/// What is wrong with the first of `sent`, which the others lead from to someone in `trust`;
/// `depth` of them may stand between.
pub fn fault(
    sent: &[CertificateDer<'_>],
    trust: &Known,
    depth: usize,
    now: UnixTime,
) -> Option<Reason> {
    let time = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut pool: Vec<_> = sent.iter().take(MOST).map_while(Certificate::read).collect();
    if pool.is_empty() {
        return Some(Reason::Unspecified);
    }
    let leaf = pool.remove(0);
    let (chain, fault) = build(leaf, pool, trust, depth, time);
    let fault = extensions(&chain).or(fault);
    let fault = weakness(&chain).or(fault);
    let fault = revocation(&chain, trust, time).or(fault);
    let fault = signatures(&chain, time).or(fault);
    if fault.is_some() {
        return fault;
    }
    // A certificate that is trusted itself has no chain that webpki could follow.
    if chain.len() == 1 { None } else { second_opinion(sent, &chain, trust, now).err() }
}

/// From the leaf towards a root, as far as it goes: trusted certificates first, then what was sent.
fn build<'a>(
    leaf: Certificate<'a>,
    mut pool: Vec<Certificate<'a>>,
    trust: &'a Known,
    depth: usize,
    now: i64,
) -> (Vec<Certificate<'a>>, Option<Reason>) {
    // The leaf, those between, and one that is trusted.
    let longest = depth.min(MOST) + 1;
    let mut chain = vec![leaf];
    let mut trusted = 0;
    let at_end = loop {
        let last = &chain[chain.len() - 1];
        let is_self_signed = last.is_self_signed();
        if chain.len() <= longest
            && let Some(issuer) = trusted_issuer(last, is_self_signed, trust, now)
        {
            if is_self_signed {
                return (chain, None);
            }
            let is_root = issuer.is_self_signed();
            chain.push(issuer);
            trusted += 1;
            if is_root {
                return (chain, None);
            }
            continue;
        }
        // Nobody untrusted stands behind someone trusted.
        let is_over = trusted > 0 || is_self_signed || chain.len() > longest;
        let next = (!is_over).then(|| best(&pool, last, now)).flatten();
        match next {
            Some(index) => {
                let issuer = pool.swap_remove(index);
                chain.push(issuer);
            }
            None => break is_self_signed,
        }
    };
    let fault = match (at_end, chain.len(), trusted) {
        (true, 1, _) => Reason::SelfSigned,
        (true, ..) => Reason::SelfSignedInChain,
        (false, _, 0) => Reason::NoLocalIssuer,
        (false, ..) => Reason::NoIssuer,
    };
    (chain, Some(fault))
}

/// Who issued `certificate`, if that is someone trusted. One that is self-signed must lie in the
/// file as it is.
fn trusted_issuer<'a>(
    certificate: &Certificate<'_>,
    is_self_signed: bool,
    trust: &'a Known,
    now: i64,
) -> Option<Certificate<'a>> {
    let known = trust.of(certificate.x509.issuer().as_raw());
    let mut known: Vec<_> = known.iter().filter_map(Certificate::read).collect();
    if is_self_signed {
        return known.into_iter().find(|own| own.der == certificate.der);
    }
    let index = best(&known, certificate, now)?;
    Some(known.swap_remove(index))
}

/// The issuer of `certificate` among `all`: one that is valid now, else the one valid longest.
fn best(all: &[Certificate<'_>], certificate: &Certificate<'_>, now: i64) -> Option<usize> {
    let issuers = all.iter().enumerate().filter(|(_, issuer)| certificate.names(issuer));
    let rank = |issuer: &Certificate<'_>| {
        let until = issuer.x509.validity().not_after.timestamp();
        (time_fault(issuer, now).is_none(), until)
    };
    issuers.max_by_key(|(_, issuer)| rank(issuer)).map(|(index, _)| index)
}

fn extensions(chain: &[Certificate<'_>]) -> Option<Reason> {
    let (mut fault, mut below) = (None, 0);
    for (index, certificate) in chain.iter().enumerate() {
        let (is_leaf, is_root) = (index == 0, index + 1 == chain.len());
        if certificate.is_beyond_us() {
            fault = Some(Reason::CriticalExtension);
        }
        if !is_leaf && !certificate.is_ca(is_root) {
            fault = Some(Reason::InvalidCa);
        }
        if !certificate.is_for_clients(is_leaf, is_root) {
            fault = Some(Reason::WrongPurpose);
        }
        // RFC 5280 §4.2.1.9: self-issued ones and the last do not count.
        if index > 1 && certificate.path_length().is_some_and(|most| below > most) {
            fault = Some(Reason::PathTooLong);
        }
        if !is_leaf && !certificate.is_self_issued() {
            below += 1;
        }
    }
    fault
}

fn weakness(chain: &[Certificate<'_>]) -> Option<Reason> {
    let mut fault = chain.first().filter(|leaf| leaf.has_weak_key()).map(|_| Reason::WeakKey);
    for (index, certificate) in chain.iter().enumerate() {
        if index > 0 && certificate.has_weak_key() {
            fault = Some(Reason::WeakCaKey);
        }
        if index + 1 < chain.len() && certificate.has_weak_digest() {
            fault = Some(Reason::WeakDigest);
        }
    }
    fault
}

/// Every certificate needs a list that clears it, the root too (RFC 5280 §6.3).
fn revocation(chain: &[Certificate<'_>], trust: &Known, now: i64) -> Option<Reason> {
    let lists = trust.crls.as_ref()?;
    let mut fault = None;
    for (index, certificate) in chain.iter().enumerate() {
        let own = certificate.is_self_signed().then_some(certificate);
        let found = chain.get(index + 1).or(own).map(|issuer| {
            let fitting = lists.iter().filter(|list| list.is_for(certificate, issuer));
            (issuer, fitting.max_by_key(|list| list.rank(now)))
        });
        fault = match found {
            Some((issuer, Some(list))) => list.fault(certificate, issuer, now),
            _ => Some(Reason::NoCrl),
        }
        .or(fault);
    }
    fault
}

/// From the root down. The root's own signature says nothing.
fn signatures(chain: &[Certificate<'_>], now: i64) -> Option<Reason> {
    let mut fault = None;
    for (index, certificate) in chain.iter().enumerate().rev() {
        match chain.get(index + 1) {
            Some(issuer) => {
                if issuer.may_not_sign() {
                    fault = Some(Reason::MayNotSign);
                }
                let is_weak = certificate.has_weak_digest() || issuer.has_weak_key();
                if !is_weak && !certificate.is_signed_by(issuer) {
                    fault = Some(Reason::BadSignature);
                }
                fault = time_fault(certificate, now).or(fault);
            }
            None if certificate.is_self_signed() => {
                fault = time_fault(certificate, now).or(fault);
            }
            // Its issuer is not here; the time of the topmost does not matter then.
            None if chain.len() > 1 => {}
            None => fault = time_fault(certificate, now).or(Some(Reason::LeafUnverified)),
        }
    }
    fault
}

fn time_fault(certificate: &Certificate<'_>, now: i64) -> Option<Reason> {
    let validity = certificate.x509.validity();
    if now > validity.not_after.timestamp() {
        return Some(Reason::Expired);
    }
    (now < validity.not_before.timestamp()).then_some(Reason::NotYetValid)
}

/// What webpki says. It does not read X.509 v1 as OpenSSL does, nor authorities that are clients
/// themselves; those have to do without, unless someone above them constrains names.
fn second_opinion(
    sent: &[CertificateDer<'_>],
    chain: &[Certificate<'_>],
    trust: &Known,
    now: UnixTime,
) -> Result<(), Reason> {
    let algorithms = provider().signature_verification_algorithms.all;
    let (leaf, between) = (&sent[0], &sent[1..sent.len().min(MOST)]);
    let usage = KeyUsage::client_auth();
    let opinion = EndEntityCert::try_from(leaf).and_then(|leaf| {
        leaf.verify_for_usage(algorithms, &trust.anchors, between, now, usage, None, None).map(drop)
    });
    match opinion {
        Ok(()) => Ok(()),
        Err(
            Error::UnsupportedCertVersion | Error::CaUsedAsEndEntity | Error::InvalidSerialNumber,
        ) => {
            let is_constrained = chain.iter().any(Certificate::has_name_constraints);
            if is_constrained { Err(Reason::NameConstraint) } else { Ok(()) }
        }
        Err(Error::MaximumPathDepthExceeded) => Err(Reason::ChainTooLong),
        Err(Error::NameConstraintViolation) => Err(Reason::NotPermitted),
        Err(Error::UnsupportedCriticalExtension) => Err(Reason::CriticalExtension),
        Err(_) => Err(Reason::Unspecified),
    }
}
