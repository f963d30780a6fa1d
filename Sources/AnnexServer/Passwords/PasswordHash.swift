import Crypto

/// Holds the SHA-256 of the password that clients must send. Only the digest is kept.
///
/// Both sides of a comparison are digests of equal length, and the comparison looks at every byte, so its time tells
/// nothing about the password.
package struct PasswordHash: Sendable, Equatable {
    private let digest: SHA256.Digest

    /// Takes O(length) time. The text is not kept.
    package init(password: String) { self.digest = SHA256.hash(data: Array(password.utf8)) }

    /// Tells whether `candidate` hashes to the same digest. O(length) hashing, then a constant-time comparison.
    package func accepts(_ candidate: some Collection<UInt8>) -> Bool {
        let other = SHA256.hash(data: Array(candidate))
        var difference: UInt8 = 0
        for (left, right) in zip(self.digest, other) { difference |= left ^ right }
        return difference == 0
    }

    /// Takes constant time as well.
    package static func == (left: Self, right: Self) -> Bool {
        var difference: UInt8 = 0
        for (a, b) in zip(left.digest, right.digest) { difference |= a ^ b }
        return difference == 0
    }
}
