package import AnnexCore
package import AnnexLog
package import AnnexServer
package import AnnexStore
import Foundation

/// The answer to users of whom nothing is known.
package enum ColdStart: String, Sendable, CaseIterable { case error, popular }

/// Holds the settings with which a shard starts.
package struct ShardSettings: Sendable {
    /// Sets the listener, whose password is that of `password`.
    package var server = ServerConfiguration()
    /// Where each of the settings was given.
    package var origins = SettingOrigins()
    /// Names folders of indexes; clients call each by the folder's name.
    package var folders: [String] = []
    package var searching = SearchEngine.annex
    /// Returns the password of clients, and of the other servers of a cluster. With nil none is needed.
    package var password: String? {
        didSet { self.server.passwordHash = self.password.map { PasswordHash(password: $0) } }
    }

    /// Names the folder of states. With nil none is kept.
    package var stateFolder: String?
    /// With nil an EVENT is answered once it is durable. Otherwise it is answered from memory, and written after this
    /// time.
    package var durabilityInterval: Duration?
    package var cold = ColdStart.error
    /// With nil all events count the same.
    package var coldHalfLifeDays: Double?
    /// Seconds between looks at `current`; 0: never.
    package var watchSeconds = 1.0

    /// Holds the address of the log. With nil this server alone orders changes.
    package var log: String?
    /// With nil the password, if any, stands in the address.
    package var logPassword: String?
    /// It is nil where it was not given.
    package var acknowledgement: LogAcknowledgement?
    /// It is nil where it was not given.
    package var maximumLagSeconds: Double?

    /// Holds the file that says who serves which users. With nil this server serves all of them.
    package var topologyFile: String?
    /// Holds the slots that the caller expects this shard to have. With nil it has those that the file says.
    package var slots: SlotSet?
    /// Names this server in the file of the cluster. With nil it is the host and port.
    package var announced: ClusterTopology.Address?

    /// Who walks the pages of a state before it is opened.
    package var pageCheck = PageChecking.here
    /// Says how long to wait for another process to let go of a state.
    package var lockPatience = Duration.seconds(10)
    /// The start waits at most so many seconds until all logs are reached; without them it goes on.
    package var logPatience = 2.0
    /// Seconds between looks at the topology's file.
    package var topologySeconds = 1.0

    /// The default is one event loop per core.
    package init() { self.server.threads = ProcessInfo.processInfo.activeProcessorCount }

    /// Writes `commit`, or `interval:MS`.
    var durabilityText: String {
        guard let interval = self.durabilityInterval else { return "commit" }
        return "interval:\(interval / .milliseconds(1))"
    }

    /// Sets the durability as a person says it.
    ///
    /// - Throws: `.usage`, as the rest of a sentence that begins with the name.
    mutating func setDurability(_ text: String) throws(AnnexError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts == ["commit"] {
            self.durabilityInterval = nil
        } else if parts.count == 2, parts[0] == "interval", let ms: Int = PlainNumber.whole(parts[1]),
            (1...60_000).contains(ms)
        {
            self.durabilityInterval = .milliseconds(ms)
        } else {
            let text = Printable.escape(text)
            throw AnnexError(.usage, "is commit or interval:MS, MS from 1 to 60000, got '\(text)'")
        }
    }

    /// Refuses what cannot be served or must not be.
    ///
    /// - Throws: `.usage`.
    package func validate() throws(AnnexError) {
        try self.server.validate(self.password, self.origins)
        try self.validateChanges()
        for setting in ShardTable.own { try setting.check(self) }
        if self.coldHalfLifeDays != nil, self.cold != .popular {
            let cold = self.origins["cold-half-life"].label("cold")
            throw self.origins.error("cold-half-life", "is for \(cold) popular")
        }
    }

    /// Checks that a state is given where a setting needs one, and a log likewise.
    private func validateChanges() throws(AnnexError) {
        if self.stateFolder == nil {
            if self.durabilityInterval != nil { throw self.needs("durability", "state") }
            if self.log != nil { throw self.needs("log", "state") }
        }
        if self.log == nil {
            if self.logPassword != nil { throw self.needs("log-password-file", "log") }
            if self.acknowledgement != nil { throw self.needs("ack", "log") }
            if self.maximumLagSeconds != nil { throw self.needs("max-lag", "log") }
        }
        do throws(AnnexError) { _ = try self.logAddress } catch {
            throw self.origins.error("log", error.message, hint: error.hint)
        }
    }

    private func needs(_ setting: String, _ other: String) -> AnnexError {
        let label = self.origins[setting].label(other)
        return self.origins.error(setting, "needs \(label)")
    }
}
