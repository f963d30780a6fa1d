package import AnnexCore
import Crypto
import Foundation

/// Says how far the sending of a file has come, so that a later run can go on from there. It is a small JSON file.
package struct IngestProgress: Sendable, Codable, Equatable {
    /// Tells an input from another: its size, and its first and last 64 KiB.
    package struct Input: Sendable, Codable, Equatable {
        package var bytes: Int
        package var sha256: String
    }

    /// Says which format this file has.
    package var version = 1
    package var input: Input
    /// Says how its lines are read.
    package var format: String
    /// Names host and port.
    package var server: String
    package var index: String
    /// Holds the time of lines that have none.
    package var at: Int64
    /// Counts lines that are done, and all before them.
    package var lines = 0
    /// Counts among these lines the events that the server acknowledged, and the lines that were rejected.
    package var acknowledged = 0
    package var rejected = 0
    /// Counts bytes of the file of rejects that belong to them.
    package var rejectsBytes = 0
    package var isFinished = false

    package init(input: Input, format: String, server: String, index: String, at: Int64) {
        (self.input, self.format, self.server, self.index, self.at) = (input, format, server, index, at)
    }

    /// Returns nil where there is no such file.
    ///
    /// - Throws: `.badInput` for a file that says something else.
    package static func read(_ path: String) throws(AnnexError) -> IngestProgress? {
        guard let file = FileHandle(forReadingAtPath: path) else {
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            throw AnnexError(.system, "cannot be read", at: path, hint: "Let the user who runs this read it")
        }
        defer { try? file.close() }
        let data = (try? file.read(upToCount: 64 << 10)) ?? Data()
        guard let found = try? JSONDecoder().decode(Self.self, from: data), found.version == 1, found.isSound else {
            throw AnnexError(
                .badInput,
                "is no progress file of `annctl ingest`",
                at: path,
                hint: "Name another with --progress, or remove it to send the file from its first line on"
            )
        }
        return found
    }

    private var isSound: Bool {
        [self.lines, self.acknowledged, self.rejected, self.rejectsBytes].allSatisfy { $0 >= 0 }
            && self.at >= 0 && self.acknowledged <= self.lines && self.rejected <= self.lines - self.acknowledged
    }

    /// Writes the file, which is durable when it returns. Blocks.
    package func write(_ path: String) throws(AnnexError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else {
            throw AnnexError(.system, "the progress cannot be written as JSON", at: path)
        }
        try DurableFile.replace(path, with: Array(data) + [0x0a])
    }

    /// Reads the mark of the file at `path`. Blocks.
    package static func input(_ path: String) throws(AnnexError) -> Input {
        let piece: UInt64 = 64 << 10
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? file.close() }
            let bytes = try file.seekToEnd()
            var hash = SHA256()
            for start in [0, bytes - min(bytes, piece)] {
                try file.seek(toOffset: start)
                hash.update(data: try file.read(upToCount: Int(piece)) ?? Data())
            }
            let digits = hash.finalize().map { String(UInt16($0) + 256, radix: 16).dropFirst() }.joined()
            return Input(bytes: Int(clamping: bytes), sha256: digits)
        } catch { throw AnnexError(.system, "cannot be read: \(error.localizedDescription)", at: path) }
    }

    /// Tells whether a run over `other` may go on from here.
    ///
    /// - Parameter path: of this, for errors.
    /// - Throws: `.usage`, with what is different.
    package func check(against other: IngestProgress, at path: String) throws(AnnexError) {
        let different: String
        if self.input != other.input {
            different = "the file is another or was changed (\(self.input.bytes) bytes then, \(other.input.bytes) now)"
        } else if self.format != other.format {
            different = "the file was read as \(self.format), not as \(other.format)"
        } else if self.server != other.server || self.index != other.index {
            different = "it went to index \(self.index) at \(self.server), not to \(other.index) at \(other.server)"
        } else {
            return
        }
        throw AnnexError(
            .usage,
            "\(self.lines) lines were done, but \(different)",
            at: path,
            hint: "Name another file with --progress, or remove this one to send all lines; what is stored already "
                + "is not stored twice as long as the lines have their times, or get the same ones by --at \(self.at)"
        )
    }
}
