import AnnexCore
import AnnexLog
import AnnexStore
import ArgumentParser
import Foundation
import Logging

/// What users get of whom nothing is known.
enum ColdStart: String, CaseIterable, ExpressibleByArgument { case error, popular }

/// Settings of what changes while serving: from the configuration's file, then from flags.
struct LiveSettings {
    /// When EVENT is answered; nil: once it is durable.
    var durabilityInterval: Duration?
    /// The folder of states; nil keeps none.
    var stateFolder: String?
    /// Of clients, and of the other servers of a cluster.
    var password: String?
    var cold = ColdStart.error
    var coldHalfLifeDays: Double?
    /// Where the log is; nil: this server alone orders changes.
    var log: String?
    /// Nil: the password, if any, stands in the address.
    var logPassword: String?
    /// Nil: not given.
    var acknowledgement: LogAcknowledgement?
    var maximumLagSeconds: Double?
    /// Seconds between looks at `current`; 0: never.
    var watchSeconds = 1.0

    /// `commit`, or `interval:MS`.
    mutating func setDurability(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts == ["commit"] {
            self.durabilityInterval = nil
        } else if parts.count == 2, parts[0] == "interval", let ms = Int(parts[1]), (1...60_000).contains(ms) {
            self.durabilityInterval = .milliseconds(ms)
        } else {
            let text = Printable.escape(text)
            throw AnnexError(.usage, "--durability is commit or interval:MS, MS from 1 to 60000, got '\(text)'")
        }
    }

    func validate() throws {
        if self.durabilityInterval != nil, self.stateFolder == nil {
            throw AnnexError(.usage, "--durability needs --state")
        }
        if self.log != nil, self.stateFolder == nil { throw AnnexError(.usage, "--log needs --state") }
        if self.log == nil, self.logPassword != nil {
            throw AnnexError(.usage, "--log-password-file needs --log")
        }
        if self.log == nil, self.acknowledgement != nil { throw AnnexError(.usage, "--ack needs --log") }
        if let maximumLagSeconds {
            if self.log == nil { throw AnnexError(.usage, "--max-lag needs --log") }
            guard maximumLagSeconds == 0 || (0.5...86_400).contains(maximumLagSeconds) else {
                throw AnnexError(.usage, "--max-lag is 0, or 0.5 to 86400 seconds, got \(maximumLagSeconds)")
            }
        }
        guard (0...3_600).contains(self.watchSeconds) else {
            throw AnnexError(.usage, "--watch is 0 to 3600 seconds, got \(self.watchSeconds)")
        }
        guard let coldHalfLifeDays else { return }
        guard self.cold == .popular else {
            throw AnnexError(.usage, "--cold-half-life is for --cold popular")
        }
        guard coldHalfLifeDays > 0, coldHalfLifeDays <= 36_500 else {
            throw AnnexError(.usage, "--cold-half-life is above 0 and at most 36500 days, got \(coldHalfLifeDays)")
        }
    }

    /// Opens the state of each index, each file's pages looked at by another process first. Blocks.
    func openStates(_ indexes: [EntryName], _ logger: Logger) throws -> [EntryName: StateStore] {
        guard let stateFolder else { return [:] }
        var states: [EntryName: StateStore] = [:]
        for index in indexes {
            let folder = stateFolder + "/" + index.value
            var settings = StateSettings()
            settings.lockPatience = .seconds(10)
            settings.pageCheck = .elsewhere { try StatePreflight.checkPages($0) }
            settings.notice = { logger.warning("\($0)", metadata: ["index": "\(index)"]) }
            settings.interval = self.durabilityInterval
            states[index] = try StateStore(folder, settings: settings)
        }
        return states
    }
}
